// A release is a pure function of the sealed set, the configuration and the round secret (law 2),
// over arrival order, threads, CPU level, restarts and power cuts.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/log.h"
#include "tests/sim/fleet.h"

namespace muster::sim {
namespace {

SimOptions options_for(const std::string& rule, const std::string& more) {
  SimOptions options;
  options.config.data_dir = "data";
  const std::string text =
      "name = \"t\"\ndimension = 1000\ncodec = \"i8b\"\nblock = 64\n"
      "chunk_coordinates = 384\nrule = \"" +
      rule + "\"\n" + more +
      "target_cohort = 12\nminimum_cohort = 12\nover_selection = 1.0\n"
      "rounds = 1\nmax_weight = 4\n";
  auto task = server::parse_task(text, "test");
  EXPECT_TRUE(task.ok()) << task.status().to_string();
  options.config.tasks.push_back(*task);
  return options;
}

struct Case {
  const char* rule;
  const char* parameters;
};
class Release : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { log_setup(LogFormat::kAuto, LogLevel::kError); }
};

Sha256 undisturbed(const SimOptions& options) {
  SimulatedStorage storage(1);
  ManualClock clock;
  auto node = SimNode::boot(storage, options, clock);
  EXPECT_TRUE(node.ok()) << node.status().to_string();
  Fleet fleet;
  std::mt19937_64 random(1);
  const Status status = fleet.submit(**node, random);
  EXPECT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(fleet.receipts(), kDevices);
  const auto hash = (*node)->model_hash(1);
  EXPECT_TRUE(hash.ok()) << hash.status().to_string();
  return hash.ok() ? *hash : Sha256{};
}

TEST_P(Release, IsOneHashOverOrderThreadsLevelsAndRestarts) {
  SimOptions options = options_for(GetParam().rule, GetParam().parameters);
  const Sha256 expected = undisturbed(options);
  const std::vector<kernels::CpuLevel> levels = {
      kernels::CpuLevel::kBaseline, kernels::CpuLevel::kAvx2, kernels::CpuLevel::kAvx512};
  for (std::uint64_t run = 0; run < 100; ++run) {
    SCOPED_TRACE("seed " + std::to_string(kSeed + run));
    std::mt19937_64 random(kSeed + run);
    options.threads = 1 + run % 2;
    options.level = std::min(levels[run % 3], kernels::detect_cpu_level());
    SimulatedStorage storage(run);
    ManualClock clock;
    auto node = SimNode::boot(storage, options, clock);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    Fleet fleet;
    if (run % 4 >= 2) {  // a kill half way: what was not committed must come again
      const Status part = fleet.submit(**node, random, 1 + run % 30);
      ASSERT_TRUE(part.ok()) << part.to_string();
      node->reset();
      storage.power_cycle();
      node = SimNode::boot(storage, options, clock);
      ASSERT_TRUE(node.ok()) << node.status().to_string();
    }
    const Status status = fleet.submit(**node, random);
    ASSERT_TRUE(status.ok()) << status.to_string();
    if (run % 4 == 3) {  // and one more restart after the release
      node->reset();
      storage.power_cycle();
      node = SimNode::boot(storage, options, clock);
      ASSERT_TRUE(node.ok()) << node.status().to_string();
    }
    EXPECT_EQ(fleet.receipts(), kDevices);
    const auto hash = (*node)->model_hash(1);
    ASSERT_TRUE(hash.ok()) << hash.status().to_string();
    EXPECT_EQ(*hash, expected);
  }
}

/// The power goes at storage call k of the whole life of a round, for every k; the node restarts,
/// devices resend what has no receipt, and the release must be the undisturbed one.
TEST_P(Release, SurvivesAPowerCutAtEveryStorageCall) {
  const SimOptions options = options_for(GetParam().rule, GetParam().parameters);
  const Sha256 expected = undisturbed(options);
  for (std::uint64_t k = 1;; ++k) {
    SCOPED_TRACE("storage call " + std::to_string(k));
    SimulatedStorage storage(kSeed + k);
    storage.set_plan({.crash_call = k});
    ManualClock clock;
    Fleet fleet;
    std::mt19937_64 random(k);
    {
      auto node = SimNode::boot(storage, options, clock);
      if (node.ok()) (void)fleet.submit(**node, random);
    }
    const bool crashed = storage.crashed();
    const std::size_t before = fleet.receipts();
    storage.power_cycle();
    auto node = SimNode::boot(storage, options, clock);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    const Status status = fleet.submit(**node, random);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(fleet.receipts(), kDevices) << before << " before the cut";
    const auto hash = (*node)->model_hash(1);
    ASSERT_TRUE(hash.ok()) << hash.status().to_string();
    EXPECT_EQ(*hash, expected);
    if (!crashed) break;  // k is past the last call of an undisturbed run
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, Release,
                         testing::Values(Case{"mean", ""},
                                         Case{"clipped_mean", "clip_norm = 0.05\n"},
                                         Case{"trimmed_mean", "byzantine_share = 0.2\n"},
                                         Case{"median", ""}, Case{"krum", "f = 2\n"},
                                         Case{"multi_krum", "f = 2\nm = 3\n"}),
                         [](const auto& instance) { return std::string(instance.param.rule); });

// Nothing the round's secret decides, for every node here draws its own: no buckets, no several
// shards, no CAF (which starts at a vector drawn from it), no Bulyan (whose last elections count
// one neighbour, so that pairs tie).
INSTANTIATE_TEST_SUITE_P(MoreRules, Release,
                         testing::Values(Case{"meamed", "f = 2\n"},
                                         Case{"geometric_median", "iterations = 3\n"},
                                         Case{"centred_clipping", "tau = 0.5\niterations = 2\n"},
                                         Case{"cge", "f = 2\n"},
                                         Case{"sign_majority", "step = 0.01\n"}),
                         [](const auto& instance) { return std::string(instance.param.rule); });

INSTANTIATE_TEST_SUITE_P(
    Compositions, Release,
    testing::Values(Case{"median", "pre_steps = ['nnm(f=3)']\n"},
                    Case{"trimmed_mean", "byzantine_share = 0.0\nshard_size = 12\n"},
                    Case{"multi_krum", "f = 2\nm = 3\nscores = 'sketched'\n"},
                    Case{"krum", "f = 2\npre_steps = ['arc']\ninvalid_updates = 'zero'\n"}),
    [](const auto& instance) { return std::string(instance.param.rule); });

}  // namespace
}  // namespace muster::sim
