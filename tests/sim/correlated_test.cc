// Private rounds whose noise is correlated: the second release takes up what the first one left,
// over restarts, power cuts, rounds that came to nothing and a change of the master secret.
#include <gtest/gtest.h>

#include "base/hex.h"
#include "base/log.h"
#include "tests/sim/private_fixture.h"

namespace muster::sim {
namespace {

class Correlated : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    log_setup(LogFormat::kAuto, LogLevel::kError);
    privacy_ = std::string("noise_multiplier = 1.0\nclip_norm = 0.5\nparticipations = 9\n") +
               "sampling = '" + GetParam() + "'\n";
    options_ = options_for({"", "rule = 'clipped_mean'\n", privacy_.c_str()}, 6);
    auto node = boot(disk_);
    submit_all(*node);
  }

  std::unique_ptr<SimNode> boot(Storage& storage) {
    auto node = SimNode::boot(storage, options_, clock_);
    EXPECT_TRUE(node.ok()) << node.status().to_string();
    return node.ok() ? std::move(*node) : nullptr;
  }
  static void submit_all(SimNode& node) {
    Fleet fleet(1);
    std::mt19937_64 random(1);
    const Status status = fleet.submit(node, random);
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(fleet.receipts(), kDevices);
  }
  static std::string hash(SimNode& node, ModelVersion version) {
    const auto found = node.model_hash(version);
    EXPECT_TRUE(found.ok()) << found.status().to_string();
    return found.ok() ? hex(*found) : std::string();
  }
  static void abandon(SimNode& node) {
    const auto aborted = node.task().abort_round();
    EXPECT_TRUE(aborted.ok()) << aborted.status().to_string();
    EXPECT_TRUE(node.settle().ok());
  }

  std::string privacy_;
  SimOptions options_;
  ManualClock clock_;
  SimulatedStorage disk_{3};  ///< one release made, the second round open
};

/// The power goes at every storage call of the second round.
TEST_P(Correlated, TheSecondReleaseIsOneWhateverHappens) {
  std::string expected;
  {
    SimulatedStorage storage(1);
    copy(disk_, storage);
    auto node = boot(storage);
    submit_all(*node);
    expected = hash(*node, 2);
  }
  for (std::uint64_t k = 1;; ++k) {
    SCOPED_TRACE("storage call " + std::to_string(k));
    SimulatedStorage storage(kSeed + k);
    copy(disk_, storage);
    storage.set_plan({.crash_call = k});
    Fleet fleet(1);
    std::mt19937_64 random(k);
    {
      auto node = SimNode::boot(storage, options_, clock_);
      if (node.ok()) (void)fleet.submit(**node, random);
    }
    const bool crashed = storage.crashed();
    storage.power_cycle();
    auto node = boot(storage);
    ASSERT_NE(node, nullptr);
    const Status status = fleet.submit(*node, random);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(hash(*node, 2), expected);
    EXPECT_EQ(charges(storage), 2u);
    // And there is a way on.
    if (k % 8 == 0) submit_all(*node);
    if (!crashed) break;
  }
}

TEST_P(Correlated, ARoundThatCameToNothingBreaksNoChain) {
  auto node = boot(disk_);
  abandon(*node);
  for (int each = 0; each < 3; ++each) submit_all(*node);
  abandon(*node);
  node.reset();
  node = boot(disk_);
  submit_all(*node);
  EXPECT_EQ(charges(disk_), 5u);
  EXPECT_FALSE(hash(*node, 5).empty());
}

TEST_P(Correlated, KeysFollowTheMasterSecret) {
  const auto write_master = [&](const std::string& path, char digit) {
    const std::string text(64, digit);
    ASSERT_TRUE(write_file(disk_, path, as_bytes(text)).ok());
  };
  // The secret beside the data moves to a file of its own, then another one takes its place.
  const auto old = read_file(disk_, "data/master.key", 100);
  ASSERT_TRUE(old.ok());
  ASSERT_TRUE(write_file(disk_, "old.key", *old).ok());
  write_master("new.key", '7');
  options_.config.secrets.master = {"new.key", "old.key"};
  boot(disk_).reset();
  options_.config.secrets.master = {"new.key"};
  auto node = boot(disk_);
  ASSERT_NE(node, nullptr);
  submit_all(*node);
  EXPECT_FALSE(hash(*node, 2).empty());
}

INSTANTIATE_TEST_SUITE_P(Statements, Correlated, testing::Values("tree", "blt"),
                         [](const auto& instance) { return std::string(instance.param); });

/// BLT noise alone: its memory is worth what the keys are.
class BltMemory : public Correlated {};

TEST_P(BltMemory, IsOneFileAndItsKeyAloneAndMissedAloud) {
  EXPECT_EQ(disk_.list("data/noise/t").value(), std::vector<std::string>{"00000001.noise"});
  {
    auto control = server::ControlStore::open(disk_, "data/control.db");
    ASSERT_TRUE(control.ok());
    std::vector<server::KeyPurpose> kept;
    const auto wrapped = (*control)->wrapped_keys();
    ASSERT_TRUE(wrapped.ok()) << wrapped.status().to_string();
    for (const server::WrappedKey& key : *wrapped)
      if (key.task != 0) kept.push_back(key.purpose);
    EXPECT_EQ(std::count(kept.begin(), kept.end(), server::KeyPurpose::kNoise), 0);
    EXPECT_EQ(std::count(kept.begin(), kept.end(), server::KeyPurpose::kNoiseMemory), 1);
  }
  ASSERT_TRUE(disk_.remove("data/noise/t/00000001.noise").ok());
  const auto node = SimNode::boot(disk_, options_, clock_);
  ASSERT_FALSE(node.ok());
  EXPECT_EQ(node.status().to_string(),
            "noise_memory_missing: task t: noise goes on from what release 1 of t left in "
            "data/noise/t, which is not there; restore that folder from its volume");
}

INSTANTIATE_TEST_SUITE_P(Statements, BltMemory, testing::Values("blt"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace muster::sim
