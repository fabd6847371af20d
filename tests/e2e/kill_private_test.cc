// kill -9 of the real server in private rounds, most of all between seal and shred: every release
// that is on disk is charged, one round more is charged at most, the anchor fits the ledger, and
// what was released once is released again with the same bytes.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <set>

#include "base/clock.h"
#include "base/hex.h"
#include "privacy/ledger.h"
#include "tests/e2e/kill_run.h"

namespace muster::e2e {
namespace {

constexpr std::string_view kPrivate =
    "rule = \"clipped_mean\"\n[task.privacy]\nclip_norm = 0.5\nnoise_multiplier = 1.0\n"
    "population = \"people\"\nbudget_epsilon = 20\ndelta = 1e-6\nparticipations = 2\n"
    "allow_small_cohort = true\n";
/// Where a round's seal, key, charge, anchor, model, release and shredding are written.
constexpr char kClose[] = "/control.db:/ledgers/:/models/:/noise/";

privacy::LedgerContents ledger_of(const std::string& data) {
  PosixStorage storage;
  auto ledger = privacy::read_ledger(storage, data + "/ledgers/people.ledger");
  EXPECT_TRUE(ledger.ok()) << ledger.status().to_string();
  return ledger.ok() ? *ledger : privacy::LedgerContents{};
}

privacy::Anchor anchor_in(const std::string& control) {
  PosixStorage storage;
  auto store = server::ControlStore::open(storage, control);
  EXPECT_TRUE(store.ok()) << store.status().to_string();
  if (!store.ok()) return {};
  const auto row = (*store)->ledger("people");
  EXPECT_TRUE(row.ok() && *row) << "no anchor";
  return row.ok() && *row ? privacy::Anchor{(*row)->bytes, (*row)->head} : privacy::Anchor{};
}

std::string model_hash(const std::string& data, std::uint64_t version) {
  PosixStorage storage;
  const auto bytes = read_file(storage, kill_model(data, version), 1 << 20);
  return bytes.ok() ? hex(ingest::sha256(*bytes)) : std::string();
}

/// Rounds charged once each, those of all models on disk among them.
void expect_charged(const std::string& data, std::uint64_t surplus) {
  std::set<std::uint64_t> charged;
  for (const auto& entry : ledger_of(data).entries)
    EXPECT_TRUE(charged.insert(entry.charge.round).second) << "charged twice";
  std::uint64_t released = 0;
  for (std::uint64_t version = 1; version <= kRounds; ++version) {
    if (model_hash(data, version).empty()) continue;
    ++released;
    EXPECT_TRUE(charged.contains(version)) << "under-counted: round " << version;
  }
  EXPECT_LE(charged.size(), released + surplus) << "over-counted";
}

class KillPrivateTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    // Its first round is open: its secrets are drawn, so that all runs release the same.
    const std::string config = folder_.path() + "/muster.toml";
    task_ = std::string(kPrivate) + "sampling = \"" + GetParam() + "\"\n";
    with_.task = task_;
    with_.begun = folder_.path() + "/data";
    with_.compared = 1;
    write_kill_config(config, with_.begun, free_port(), task_);
    ServerProcess server(config, folder_.path() + "/log");
    const SystemClock clock;
    const Nanoseconds until = clock.now() + 60 * kSecond;
    while (::access((with_.begun + "/admin.sock").c_str(), F_OK) != 0 && clock.now() < until)
      ::usleep(2000);
    server.signal(SIGTERM);
    ASSERT_EQ(server.wait(), 0);
    std::filesystem::remove(with_.begun + "/admin.sock");
    with_.when_killed = [this](const std::string& data) { look_at_killed(data); };
    with_.when_over = [this](const std::string& data) { look_at_end(data); };
  }

  void look_at_killed(const std::string& data) {
    expect_charged(data, 1);
    // On a copy: opening the store carries out the recovery that is the server's to do.
    const std::string copy = data + "-copy";
    std::filesystem::create_directory(copy);
    for (const auto& file : std::filesystem::directory_iterator(data))
      if (file.path().filename().string().starts_with("control.db"))
        std::filesystem::copy(file, copy);
    const privacy::Anchor kept = anchor_in(copy + "/control.db");
    std::filesystem::remove_all(copy);
    const privacy::LedgerContents ledger = ledger_of(data);
    const std::size_t count = ledger.entries.size();
    EXPECT_TRUE(kept == ledger.end() ||
                kept == (count > 1 ? ledger.entries[count - 2].after : ledger.opened))
        << "the anchor is neither the ledger's end nor one charge behind";
    const std::lock_guard lock(mutex_);
    ++ahead_[kept == ledger.end() ? 0 : 1];
    for (std::uint64_t version = 1; version <= kRounds; ++version)
      seen_[data].push_back(model_hash(data, version));
  }

  void look_at_end(const std::string& data) {
    expect_charged(data, 0);
    const privacy::LedgerContents ledger = ledger_of(data);
    EXPECT_TRUE(ledger.flaw.ok());
    EXPECT_EQ(ledger.entries.size(), kRounds);
    EXPECT_TRUE(anchor_in(data + "/control.db") == ledger.end());
    const std::lock_guard lock(mutex_);
    for (std::uint64_t version = 1; version <= seen_[data].size(); ++version) {
      const std::string& before = seen_[data][version - 1];
      if (!before.empty()) {
        EXPECT_EQ(model_hash(data, version), before) << "version " << version;
      }
    }
  }

  TemporaryFolder folder_;
  std::string task_;
  KillCase with_;
  std::mutex mutex_;
  std::map<std::string, std::vector<std::string>> seen_;  ///< models on disk at the kill
  int ahead_[2] = {};                                     ///< kills by charges past the anchor
};

TEST_P(KillPrivateTest, ChargesEveryReleaseAndReleasesTheSame) {
  const int points = kill_points(12), spread = points / 3;
  EXPECT_EQ(sweep_kills(with_, spread), spread);
  if (HasFailure()) return;
  with_.files = kClose;
  EXPECT_EQ(sweep_kills(with_, points - spread), points - spread);
  GTEST_LOG_(INFO) << "charges past the anchor when killed: none " << ahead_[0] << " times, one "
                   << ahead_[1] << " times";
}

INSTANTIATE_TEST_SUITE_P(Noise, KillPrivateTest, testing::Values("check-in", "blt"),
                         [](const auto& instance) {
                           return std::string(instance.index == 0 ? "Fresh" : "Blt");
                         });

}  // namespace
}  // namespace muster::e2e
