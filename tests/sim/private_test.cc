// Private rounds: one release whatever order, threads, level, restarts and power cuts; the spend is
// on disk before it, never forgotten, never made twice.
#include <gtest/gtest.h>

#include <numeric>

#include "base/hex.h"
#include "base/log.h"
#include "server/model_store.h"
#include "tests/sim/private_fixture.h"

namespace muster::sim {
namespace {

class Private : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    log_setup(LogFormat::kAuto, LogLevel::kError);
    // A node whose first round is open: its secrets are drawn, and every run begins here.
    ManualClock clock;
    auto node = SimNode::boot(begun_, options_for(GetParam()), clock);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
  }

  std::string undisturbed() {
    SimulatedStorage storage(1);
    copy(begun_, storage);
    ManualClock clock;
    auto node = SimNode::boot(storage, options_for(GetParam()), clock);
    EXPECT_TRUE(node.ok()) << node.status().to_string();
    if (!node.ok()) return {};
    Fleet fleet(GetParam().weights);
    std::mt19937_64 random(1);
    const Status status = fleet.submit(**node, random);
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(fleet.receipts(), kDevices);
    EXPECT_EQ(charges(storage), 1u);
    const auto hash = (*node)->model_hash(1);
    EXPECT_TRUE(hash.ok()) << hash.status().to_string();
    return hash.ok() ? hex(*hash) : std::string();
  }

  SimulatedStorage begun_{7};
};

TEST_P(Private, IsOneReleaseOverOrderThreadsLevelsAndRestarts) {
  SimOptions options = options_for(GetParam());
  const std::string expected = undisturbed();
  const std::vector<kernels::CpuLevel> levels = {
      kernels::CpuLevel::kBaseline, kernels::CpuLevel::kAvx2, kernels::CpuLevel::kAvx512};
  for (std::uint64_t run = 0; run < 24; ++run) {
    SCOPED_TRACE("seed " + std::to_string(kSeed + run));
    std::mt19937_64 random(kSeed + run);
    options.threads = 1 + run % 2;
    options.level = std::min(levels[run % 3], kernels::detect_cpu_level());
    SimulatedStorage storage(run);
    copy(begun_, storage);
    ManualClock clock;
    auto node = SimNode::boot(storage, options, clock);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    Fleet fleet(GetParam().weights);
    if (run % 4 >= 2) {
      const Status part = fleet.submit(**node, random, 1 + run % 30);
      ASSERT_TRUE(part.ok()) << part.to_string();
      node->reset();
      storage.power_cycle();
      node = SimNode::boot(storage, options, clock);
      ASSERT_TRUE(node.ok()) << node.status().to_string();
    }
    const Status status = fleet.submit(**node, random);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(fleet.receipts(), kDevices);
    const auto hash = (*node)->model_hash(1);
    ASSERT_TRUE(hash.ok()) << hash.status().to_string();
    EXPECT_EQ(hex(*hash), expected);
    EXPECT_EQ(charges(storage), 1u);
  }
}

/// The power goes at every storage call of the life of a round. Never forgotten: no release is on
/// disk that the ledger does not hold. Never twice: one charge at the end.
TEST_P(Private, SurvivesAPowerCutAtEveryStorageCall) {
  const SimOptions options = options_for(GetParam());
  const std::string expected = undisturbed();
  for (std::uint64_t k = 1;; ++k) {
    SCOPED_TRACE("storage call " + std::to_string(k));
    SimulatedStorage storage(kSeed + k);
    copy(begun_, storage);
    storage.set_plan({.crash_call = k});
    ManualClock clock;
    Fleet fleet(GetParam().weights);
    std::mt19937_64 random(k);
    {
      auto node = SimNode::boot(storage, options, clock);
      if (node.ok()) (void)fleet.submit(**node, random);
    }
    const bool crashed = storage.crashed();
    storage.power_cycle();
    if (storage.exists("data/models/t/v00000001.safetensors")) {
      EXPECT_EQ(charges(storage), 1u);
    }
    auto node = SimNode::boot(storage, options, clock);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    const Status status = fleet.submit(**node, random);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(fleet.receipts(), kDevices);
    const auto hash = (*node)->model_hash(1);
    ASSERT_TRUE(hash.ok()) << hash.status().to_string();
    EXPECT_EQ(hex(*hash), expected);
    EXPECT_EQ(charges(storage), 1u);
    if (!crashed) break;
  }
}

constexpr char kClip[] = "noise_multiplier = 1.0\nclip_norm = 0.5\n";

INSTANTIATE_TEST_SUITE_P(
    Mechanisms, Private,
    testing::Values(
        Case{"Mean", "rule = 'clipped_mean'\n", kClip, 4},
        Case{"Trimmed", "rule = 'trimmed_mean'\nf = 2\n", kClip},
        Case{"Centred", "rule = 'centred_clipping'\n", kClip},
        Case{"Votes", "rule = 'sign_majority'\nstep = 0.01\n", "noise_multiplier = 0.2\n"},
        Case{"Buckets", "rule = 'trimmed_mean'\nbyzantine_share = 0.45\n",
             "noise_multiplier = 0.125\nclip_norm = 0.5\nmechanism = 'buckets'\nbuckets = 4\n"},
        Case{"Shards", "rule = 'median'\n",
             "noise_multiplier = 1.0\nclip_norm = 0.5\nmechanism = 'shards'\nshards = 4\n"},
        Case{"TrimmedShards", "rule = 'trimmed_mean'\nf = 1\n",
             "noise_multiplier = 1.0\nclip_norm = 0.5\nmechanism = 'shards'\nshards = 3\n"},
        Case{"Tree", "rule = 'clipped_mean'\n",
             "noise_multiplier = 1.0\nclip_norm = 0.5\nsampling = 'tree'\n"},
        Case{"Blt", "rule = 'clipped_mean'\n",
             "noise_multiplier = 1.0\nclip_norm = 0.5\nsampling = 'blt'\n"},
        Case{"Adaptive", "rule = 'clipped_mean'\n",
             "noise_multiplier = 0.5\nclip_norm = 0.5\nadaptive_clip = 'noised'\n"}),
    [](const auto& instance) { return std::string(instance.param.name); });

/// Little noise, and every device sends the same vector of norm C: it is what must come out. A sum
/// that lost a part, or was divided by another number, is far from it.
class PrivateValue : public testing::TestWithParam<Case> {};

TEST_P(PrivateValue, WhatAllDevicesSendIsReleased) {
  log_setup(LogFormat::kAuto, LogLevel::kError);
  SimulatedStorage storage(1);
  ManualClock clock;
  auto node = SimNode::boot(storage, options_for(GetParam()), clock);
  ASSERT_TRUE(node.ok()) << node.status().to_string();
  Fleet fleet(1);
  for (std::uint32_t device = 0; device < kDevices; ++device)
    for (std::uint32_t c = 0; c < 3; ++c) {
      auto& chunk = fleet.update(device).chunks[c];
      const std::size_t codes =
          4 * scale_count(chunk_plan().format, chunk_plan().coordinates_of(c));
      std::fill(chunk.begin() + static_cast<std::ptrdiff_t>(codes), chunk.end(), std::byte{0});
      if (c > 0) continue;
      store(chunk, 0, 0.5f / 127);  // the first block's scale
      chunk[codes] = std::byte{127};
    }
  std::mt19937_64 random(1);
  const Status status = fleet.submit(**node, random);
  ASSERT_TRUE(status.ok()) << status.to_string();
  ASSERT_EQ(fleet.receipts(), kDevices);
  const auto hash = (*node)->model_hash(1);
  ASSERT_TRUE(hash.ok()) << hash.status().to_string();
  server::ModelStore models(storage, "data");
  const auto model = models.load("t", 1, *hash);
  ASSERT_TRUE(model.ok()) << model.status().to_string();
  // The greatest deviation of the noise is 0.125 * 0.5 * 2 / 3 here; six of them, and of a mean.
  const std::vector<float>& values = model->state.values;
  EXPECT_NEAR(values[0], 0.5, 0.25);
  EXPECT_NEAR(std::accumulate(values.begin() + 1, values.end(), 0.0) / 999, 0, 0.008);
}

constexpr char kQuiet[] = "noise_multiplier = 0.125\nclip_norm = 0.5\n";

INSTANTIATE_TEST_SUITE_P(
    Mechanisms, PrivateValue,
    testing::Values(
        Case{"Mean", "rule = 'clipped_mean'\n", kQuiet},
        Case{"Trimmed", "rule = 'trimmed_mean'\nf = 2\n", kQuiet},
        Case{"Centred", "rule = 'centred_clipping'\n", kQuiet},
        Case{"TrimmedShards", "rule = 'trimmed_mean'\nf = 1\n",
             "noise_multiplier = 0.125\nclip_norm = 0.5\nmechanism = 'shards'\nshards = 3\n"},
        Case{"Shards", "rule = 'median'\n",
             "noise_multiplier = 0.125\nclip_norm = 0.5\nmechanism = 'shards'\nshards = 3\n"},
        Case{"Blt", "rule = 'clipped_mean'\n",
             "noise_multiplier = 0.125\nclip_norm = 0.5\nsampling = 'blt'\n"}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace muster::sim
