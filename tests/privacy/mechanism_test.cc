#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "privacy/apply.h"
#include "privacy/keys.h"

namespace muster::privacy {
namespace {

using ::testing::HasSubstr;

TEST(PlanGrid, IsTheFinestThatCannotOverflow) {
  const NoiseGrid small = plan_grid({2, 1, 1000, 1000}).value();
  EXPECT_EQ(small.log2_sigma, 40);
  EXPECT_EQ(small.bound, std::uint64_t{1} << 40);
  EXPECT_EQ(small.step, 0x1p-39);
  EXPECT_NEAR(small.noise_multiplier, 1, 1e-15);

  const NoiseGrid large = plan_grid({1, 0.5, 10'000'000, 1u << 20, 4}).value();
  const double sum = static_cast<double>(large.bound) * 4 * 0x1p20;
  EXPECT_LE(sum + std::ldexp(1.0, large.log2_sigma + 4), 0x1p62);
  EXPECT_GE(large.log2_sigma, 30);
  EXPECT_GE(large.noise_multiplier, 0.5 * (1 - 1e-15));
  EXPECT_LE(large.noise_multiplier, 0.5 * (1 + 1e-6));
}

TEST(PlanGrid, RefusesWhatLeavesNoGrid) {
  EXPECT_EQ(plan_grid({1, 0.0625, 1000, 1u << 24}).status().reason(), "noise_grid_too_coarse");
  EXPECT_EQ(plan_grid({1, 1e6, std::uint64_t{1} << 34, 1u << 24}).status().reason(),
            "noise_grid_too_coarse");
  for (const GridRequest& bad :
       {GridRequest{0, 1, 10, 10}, GridRequest{1, 0, 10, 10}, GridRequest{1, 1, 0, 10},
        GridRequest{1, 1, 10, 0}, GridRequest{1, 1, 10, 10, 0}, GridRequest{NAN, 1, 10, 10}})
    EXPECT_EQ(plan_grid(bad).status().reason(), "privacy_parameter");
}

MechanismRequest request_of(Adjacency adjacency) {
  return {.clip_norm = 2,
          .noise_multiplier = 1.5,
          .dimension = 10'000,
          .n = 1000,
          .adjacency = adjacency};
}

/// Noise over what one device moves, the other way round.
double deviation_over_sensitivity(const Mechanism& mechanism) {
  return std::ldexp(1.0, mechanism.grid.log2_sigma) /
         static_cast<double>(mechanism.sensitivity_units);
}

TEST(Mechanism, MovesWhatTheDecisionTableSays) {
  for (const Adjacency adjacency : {Adjacency::kZeroOut, Adjacency::kReplaceOne}) {
    SCOPED_TRACE(adjacency_name(adjacency));
    const double twice = sum_sensitivity(adjacency);
    const MechanismRequest request = request_of(adjacency);
    const auto check = [&](const Mechanism& mechanism, double sensitivity) {
      SCOPED_TRACE(mechanism.name);
      EXPECT_NEAR(mechanism.sensitivity(), sensitivity, 1e-9 * sensitivity);
      EXPECT_NEAR(mechanism.noise_multiplier, 1.5, 1e-6);
      EXPECT_GE(mechanism.noise_multiplier, 1.5 * (1 - 1e-15));
      EXPECT_NEAR(deviation_over_sensitivity(mechanism), 1.5 / twice, 1e-6);
      EXPECT_THAT(mechanism.formula, HasSubstr("="));
    };
    check(gaussian_mean(request).value(), twice * 2 / 1000);
    check(gaussian_mean(request, 5, 2000).value(), twice * 5 * 2 / 2000);
    check(trimmed_mean(request, 100).value(), twice * 2 / 800);
    check(trimmed_shards(request, 40, 5).value(), twice * 2 / (40 * 15));
    check(centred_clipping(request).value(), twice * 2 / 1000);
    check(noised_buckets(request, 50, 20).value(), twice * 2 / 20);
    check(sign_votes(request).value(), twice * 100);
    // The same under every adjacency, and noise for it.
    const Mechanism shards = sample_and_aggregate(request, 40).value();
    EXPECT_NEAR(shards.sensitivity(), 2.0 * 2 / 40, 1e-9);
    EXPECT_NEAR(shards.noise_multiplier, 1.5, 1e-6);
    EXPECT_NEAR(deviation_over_sensitivity(shards) * twice, 1.5, 1e-6);
  }
}

TEST(Mechanism, RefusesShapesThatHaveNoBound) {
  const MechanismRequest request = request_of(Adjacency::kZeroOut);
  EXPECT_EQ(trimmed_mean(request, 500).status().reason(), "trim_bound");
  EXPECT_EQ(trimmed_shards(request, 40, 13).status().reason(), "trim_bound");
  EXPECT_EQ(trimmed_shards(request, 41, 1).status().reason(), "shard_shape");
  EXPECT_EQ(trimmed_shards(request, 0, 1).status().reason(), "shard_shape");
  EXPECT_EQ(noised_buckets(request, 50, 21).status().reason(), "bucket_shape");
  EXPECT_EQ(sample_and_aggregate(request, 0).status().reason(), "shard_shape");
  EXPECT_EQ(gaussian_mean(request, 1, -5).status().reason(), "privacy_parameter");
}

TEST(Mechanism, SaysItsFormulaWithNumbers) {
  EXPECT_EQ(trimmed_mean(request_of(Adjacency::kReplaceOne), 100)->formula,
            "2 C / (n - 2f) = 2 * 2 / (1000 - 2 * 100) = 0.005");
  EXPECT_EQ(gaussian_mean(request_of(Adjacency::kZeroOut))->formula,
            "C w_max / W = 2 * 1 / 1000 = 0.002");
}

TEST(Mechanism, CallsBucketsUselessWhereNoiseHidesAttacks) {
  MechanismRequest request = request_of(Adjacency::kZeroOut);
  request.dimension = 10'000'000;
  EXPECT_FALSE(buckets_are_useful(request, 10, 0.1));
  EXPECT_TRUE(buckets_are_useful(request, 10'000, 0.1));
}

TEST(AdaptiveClip, SplitsTheNoiseAsPublished) {
  EXPECT_NEAR(update_multiplier(1, 5).value(), 1.005038, 1e-6);
  EXPECT_NEAR(update_multiplier(0.5, 5).value(), 0.500626, 1e-6);
  EXPECT_NEAR(update_multiplier(2, 50).value(), 2.000400, 1e-6);
  EXPECT_EQ(update_multiplier(10, 5).status().reason(), "clip_noise");
  EXPECT_EQ(count_units_per_half(0).status().reason(), "clip_noise");
}

/// TFP's published sequences, without noise.
TEST(AdaptiveClip, FollowsThePublishedSequences) {
  struct Sequence {
    std::vector<double> records;
    double clip_norm, quantile;
    std::vector<double> norms;
  };
  const Sequence sequences[] = {{{5, 2.5}, 16, 0, {8, 4, 2.828427, 2, 2}},
                                {{1.5, 3}, 0.5, 1, {1, 2, 2.828427, 4, 4}}};
  const std::int64_t units = count_units_per_half(5).value();
  for (const Sequence& sequence : sequences) {
    const AdaptiveClip adaptive{sequence.quantile, std::log(2), 5,
                                static_cast<std::uint32_t>(sequence.records.size())};
    double clip_norm = sequence.clip_norm;
    for (const double expected : sequence.norms) {
      std::int64_t count = 0;
      for (const double record : sequence.records) count += record <= clip_norm ? units : -units;
      clip_norm = next_clip_norm(adaptive, clip_norm, count, units);
      EXPECT_NEAR(clip_norm, expected, 1e-6);
    }
  }
}

/// Simulated with its noise, the norm settles at the quantile and does not run away.
TEST(AdaptiveClip, SettlesAtTheQuantileUnderNoise) {
  const std::uint64_t seed = 20'240'601;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> norms(0, 1);  // median 1
  kernels::BackendOptions options;
  options.kind = "cpu";
  const auto backend = kernels::create_backend(options, nullptr).value();
  const Secret key = Secret::copy_of(std::vector<std::byte>(32, std::byte{9})).value();
  const AdaptiveClip adaptive{0.5, 0.2, 10, 200};
  const std::int64_t units = count_units_per_half(adaptive.count_sigma).value();
  double clip_norm = 0.1, late = 0;
  for (std::uint32_t round = 0; round < 400; ++round) {
    std::int64_t count = 0;
    for (std::uint32_t i = 0; i < adaptive.n; ++i)
      count += norms(random) <= clip_norm ? units : -units;
    backend->add_noise({.key = key.words(),
                        .vector = round,
                        .log2_sigma = kCountLog2Sigma,
                        .target = &count,
                        .d = 1},
                       kernels::Stream::kCompute);
    clip_norm = next_clip_norm(adaptive, clip_norm, count, units);
    if (round >= 200) late += clip_norm / 200;
  }
  EXPECT_NEAR(late, 1, 0.15);
}

class Release : public ::testing::Test {
 protected:
  Release() {
    kernels::BackendOptions options;
    options.kind = "cpu";
    backend_ = kernels::create_backend(options, nullptr).value();
  }
  Rows rows_of(const std::vector<std::vector<float>>& updates) {
    addresses_.clear();
    for (const auto& x : updates)
      addresses_.push_back(reinterpret_cast<const std::byte*>(x.data()));
    const std::size_t d = updates[0].size();
    return {static_cast<std::uint32_t>(updates.size()), d, d, [this, d](std::uint32_t) {
              return kernels::Codes{{Codec::kF32, 0}, d, addresses_, {}};
            }};
  }
  std::unique_ptr<kernels::Backend> backend_;
  std::vector<const std::byte*> addresses_;
};

TEST_F(Release, IsTheClippedMeanPlusNoiseOfTheStatedDeviation) {
  constexpr std::size_t kD = 50'000;
  constexpr std::uint32_t kN = 8;
  const std::vector<std::vector<float>> updates(kN, std::vector<float>(kD, 0.001f));
  const Mechanism mechanism =
      gaussian_mean({.clip_norm = 1, .noise_multiplier = 0.01 * 10, .dimension = kD, .n = kN})
          .value();
  const Rows rows = rows_of(updates);
  const Contributions contributions = clip_to_grid(*backend_, rows, 16, mechanism.grid).value();
  const Secret key = Secret::copy_of(std::vector<std::byte>(32, std::byte{7})).value();
  const std::vector<std::int64_t> ones(kN, 1);
  const auto release = [&] {
    std::vector<std::int64_t> sum(kD);
    EXPECT_TRUE(add_contributions(*backend_, rows, contributions, ones, sum.data()).ok());
    add_noise(*backend_, key, kReleaseVector, mechanism.grid, sum.data(), kD);
    return sum;
  };
  const std::vector<std::int64_t> first = release();
  EXPECT_EQ(first, release());  // a crash releases the same again
  double mean = 0, square = 0;
  for (const std::int64_t sum : first) {
    const double x = static_cast<double>(sum) * mechanism.grid.step / mechanism.divisor - 0.001;
    mean += x / kD, square += x * x / kD;
  }
  const double deviation = 0.1 / kN;
  EXPECT_NEAR(mean, 0, 5 * deviation / std::sqrt(kD));
  EXPECT_NEAR(std::sqrt(square) / deviation, 1, 0.02);
}

TEST_F(Release, OfVotesIsElectedFromScaledCounts) {
  std::vector<std::vector<float>> updates(300, std::vector<float>(100));
  for (std::size_t i = 0; i < updates.size(); ++i)
    for (std::size_t k = 0; k < 100; ++k)
      updates[i][k] = i % 3 == 0 ? 0 : k % 2 == 0 ? 1.0f : -1.0f;
  const Mechanism mechanism =
      sign_votes({.clip_norm = 1, .noise_multiplier = 1, .dimension = 100, .n = 300}).value();
  const Rows rows = rows_of(updates);
  std::vector<std::int64_t> votes(100), sum(100);
  backend_->vote({rows.chunk(0).value(), votes.data()}, kernels::Stream::kCompute);
  const std::int64_t units = vote_units(mechanism);
  add_votes(*backend_, votes.data(), units, sum.data(), 100);
  for (std::size_t k = 0; k < 100; ++k) EXPECT_EQ(sum[k], (k % 2 == 0 ? 200 : -200) * units);
  const Secret key = Secret::copy_of(std::vector<std::byte>(32, std::byte{7})).value();
  add_noise(*backend_, key, kReleaseVector, mechanism.grid, sum.data(), 100);
  backend_->elect(sum.data(), 100, kernels::Stream::kCompute);
  for (std::size_t k = 0; k < 100; ++k) EXPECT_EQ(sum[k], k % 2 == 0 ? 1 : -1);
}

TEST_F(Release, OfBucketsAddsEachDeviceToOneOfThem) {
  const std::vector<std::vector<float>> updates = {{0.1f, 0}, {0, 0.2f}, {0.3f, 0}, {0, 0.4f}};
  const Mechanism mechanism =
      noised_buckets({.clip_norm = 1, .noise_multiplier = 1, .dimension = 2, .n = 4}, 2, 2).value();
  const Rows rows = rows_of(updates);
  const Contributions contributions = clip_to_grid(*backend_, rows, 16, mechanism.grid).value();
  const std::uint32_t members[] = {3, 0};
  std::vector<std::int64_t> sum(2);
  ASSERT_TRUE(add_bucket(*backend_, rows, contributions, members, sum.data()).ok());
  EXPECT_NEAR(static_cast<double>(sum[0]) * mechanism.grid.step, 0.1, 1e-6);
  EXPECT_NEAR(static_cast<double>(sum[1]) * mechanism.grid.step, 0.4, 1e-6);
}

}  // namespace
}  // namespace muster::privacy
