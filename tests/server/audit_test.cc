#include "server/audit.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/simulated_storage.h"
#include "server/crash_guard.h"

namespace muster::server {
namespace {

using nlohmann::json;

class AuditTest : public ::testing::Test {
 protected:
  AuditTest() { EXPECT_TRUE(storage_.make_directory("d").ok()); }
  Result<std::unique_ptr<Audit>> open() {
    stats_ = std::make_unique<Stats>();
    return Audit::open(storage_, "d/audit.log", clock_, *stats_);
  }
  std::vector<json> lines() {
    const auto bytes = read_file(storage_, "d/audit.log", 1 << 20);
    EXPECT_TRUE(bytes.ok());
    std::istringstream text{std::string(as_text(*bytes))};
    std::vector<json> found;
    for (std::string line; std::getline(text, line);)
      found.push_back(json::parse(line, nullptr, false));
    return found;
  }

  SimulatedStorage storage_{7};
  ManualClock clock_;
  std::unique_ptr<Stats> stats_;
};

TEST_F(AuditTest, RecordsAreNumberedOverRestarts) {
  ASSERT_TRUE((*open())->write(AuditKind::kServer, "started", {{"version", "1"}}).ok());
  auto audit = open();
  ASSERT_TRUE(audit.ok());
  ASSERT_TRUE((*audit)->write(AuditKind::kKey, "revoked", {{"count", 2}}).ok());
  const auto found = lines();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0], json({{"sequence", 1},
                            {"time", "1970-01-01T00:00:01.000Z"},
                            {"kind", "server"},
                            {"action", "started"},
                            {"version", "1"}}));
  EXPECT_EQ(found[1]["sequence"], 2);
  EXPECT_EQ(found[1]["kind"], "key");
  EXPECT_EQ(stats_->counter("muster_audit_records_total", {{"kind", "key"}}).value(), 1u);
}

TEST_F(AuditTest, HoldsWhatItAcknowledgedOverPowerLossAtEveryCall) {
  for (std::uint64_t call = 1; call < 40; ++call) {
    SimulatedStorage disk(call);
    ASSERT_TRUE(disk.make_directory("d").ok());
    ASSERT_TRUE(disk.sync_directory(".").ok());
    Stats stats;
    ASSERT_TRUE(Audit::open(disk, "d/audit.log", clock_, stats).ok());
    FaultPlan plan;
    plan.crash_call = call;
    disk.set_plan(plan);
    int acknowledged = 0;
    if (auto audit = Audit::open(disk, "d/audit.log", clock_, stats); audit.ok())
      for (int i = 1; i <= 12; ++i)
        if ((*audit)->write(AuditKind::kRound, "closed", {{"number", i}}).ok()) ++acknowledged;
    disk.power_cycle();
    Stats later;
    auto audit = Audit::open(disk, "d/audit.log", clock_, later);
    ASSERT_TRUE(audit.ok()) << call << ": " << audit.status().to_string();
    ASSERT_TRUE((*audit)->write(AuditKind::kRound, "closed", {{"number", 99}}).ok());
    const auto bytes = read_file(disk, "d/audit.log", 1 << 20);
    ASSERT_TRUE(bytes.ok());
    std::istringstream text{std::string(as_text(*bytes))};
    int count = 0;
    for (std::string line; std::getline(text, line);) {
      const json record = json::parse(line, nullptr, false);
      ASSERT_TRUE(record.is_object()) << call << ": " << line;
      EXPECT_EQ(record["sequence"], ++count) << call;
    }
    EXPECT_GT(count, acknowledged) << call;
  }
}

TEST_F(AuditTest, ACutOffLastLineGoes) {
  ASSERT_TRUE((*open())->write(AuditKind::kServer, "started").ok());
  {
    auto file = storage_.open("d/audit.log", OpenMode::kWrite);
    ASSERT_TRUE(file.ok());
    const ConstBytes half = as_bytes("{\"sequence\":2,\"ti");
    ASSERT_TRUE((*file)->write_at(*(*file)->size(), {&half, 1}).ok());
  }
  ASSERT_TRUE((*open())->write(AuditKind::kServer, "stopped").ok());
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_EQ(lines()[1]["sequence"], 2);
}

TEST_F(AuditTest, AForeignLastLineIsNotGuessedAt) {
  {
    auto file = storage_.open("d/audit.log", OpenMode::kCreate);
    ASSERT_TRUE(file.ok());
    const ConstBytes text = as_bytes("hello\n");
    ASSERT_TRUE((*file)->write_at(0, {&text, 1}).ok());
  }
  EXPECT_EQ(open().status().reason(), "audit_corrupt");
}

class CrashGuardTest : public ::testing::Test {
 protected:
  CrashGuardTest() { EXPECT_TRUE(storage_.make_directory("d").ok()); }
  Status start(std::size_t limit = 5) {
    return CrashGuard(storage_, "d/starts", limit).on_start(clock_);
  }
  SimulatedStorage storage_{7};
  ManualClock clock_{1'000'000 * kSecond};
};

TEST_F(CrashGuardTest, StaysDownAfterFiveBadEndsInTenMinutesAndOpensByItself) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(start().ok()) << i;
    clock_.advance(60 * kSecond);
  }
  const Status status = start();
  EXPECT_EQ(status.reason(), "crash_loop");
  EXPECT_NE(status.message().find("remove d/starts (or wait 300 s)"), std::string::npos)
      << status.message();
  clock_.advance(299 * kSecond);
  EXPECT_EQ(start().reason(), "crash_loop");
  clock_.advance(1 * kSecond);
  EXPECT_TRUE(start().ok());
}

TEST_F(CrashGuardTest, OrderlyEndsAreForgottenAndSoIsARemovedFile) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(start().ok());
    ASSERT_TRUE(CrashGuard(storage_, "d/starts", 5).on_orderly_end().ok());
  }
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(start().ok());
  ASSERT_FALSE(start().ok());
  ASSERT_TRUE(storage_.remove("d/starts").ok());
  EXPECT_TRUE(start().ok());
}

TEST_F(CrashGuardTest, SlowCrashesAndZeroNeverStop) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(start().ok());
    clock_.advance(151 * kSecond);
  }
  for (int i = 0; i < 300; ++i) EXPECT_TRUE(start(0).ok());
}

}  // namespace
}  // namespace muster::server
