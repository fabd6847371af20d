#include "privacy/correlated_noise.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <set>

namespace muster::privacy {
namespace {

TEST(Tree, HoldsOneNodeForEachSetBit) {
  EXPECT_EQ(tree_nodes(16), (std::vector<std::uint64_t>{16}));
  EXPECT_EQ(tree_nodes(19), (std::vector<std::uint64_t>{19, 18, 16}));
  for (const auto& [t, nodes] : {std::pair{16, 1}, {17, 2}, {19, 3}, {1027, 3}})
    EXPECT_EQ(tree_nodes(static_cast<std::uint64_t>(t)).size(), static_cast<std::size_t>(nodes));
}

/// Release by release, own noise in and dropped nodes out: the noise of the model is the nodes'.
TEST(Tree, TakesBackWhatTheNextPrefixHasNoMore) {
  std::multiset<std::uint64_t> held;
  for (std::uint64_t t = 1; t <= 1100; ++t) {
    held.insert(t);
    for (const std::uint64_t node : tree_nodes_dropped(t)) {
      ASSERT_EQ(held.count(node), 1u) << t;
      held.erase(node);
    }
    const auto nodes = tree_nodes(t);
    ASSERT_EQ(std::vector<std::uint64_t>(held.rbegin(), held.rend()), nodes) << t;
    ASSERT_LE(held.size(), static_cast<std::size_t>(std::bit_width(t)));
  }
}

TEST(BltFilter, IsTheInverseToWithinRounding) {
  const Blt blt{{0.9, 0.5}, {0.1, 0.6}};
  constexpr std::int64_t kImpulse = std::int64_t{1} << 40;
  const std::vector<double> inverse = blt_inverse(blt, 8);
  BltFilter filter(blt, 1);
  for (std::size_t t = 0; t < 8; ++t) {
    std::int64_t noise = t == 0 ? kImpulse : 0;
    filter.next({&noise, 1});
    EXPECT_NEAR(static_cast<double>(noise) / kImpulse, inverse[t], 1e-11) << t;
  }
}

TEST(BltFilter, GoesOnFromItsState) {
  const Blt blt{{0.99, 0.7}, {0.02, 0.2}};
  std::mt19937_64 random(20'240'601);
  BltFilter one(blt, 50), other(blt, 50);
  for (int t = 0; t < 20; ++t) {
    std::vector<std::int64_t> noise(50);
    for (auto& z : noise) z = static_cast<std::int64_t>(random() >> 24) - (std::int64_t{1} << 39);
    std::vector<std::int64_t> same = noise;
    one.next(noise);
    BltFilter restarted(blt, 50);
    restarted.restore(other.state());
    restarted.next(same);
    EXPECT_EQ(noise, same);
    other.restore(restarted.state());
  }
}

/// The claim behind blt_rounding_units(): with equal releases and neighbouring inputs, the draws z
/// that explain them differ by C times the change but for a step or so.
TEST(BltFilter, MovesItsDrawsByTheChangeAndItsRoundingAlone) {
  const std::uint64_t seed = 20'240'601;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const Blt blt{{0.999, 0.8}, {0.01, 0.3}};
  constexpr std::uint64_t kRounds = 300;
  constexpr int kLog2Sigma = 30;
  const std::vector<double> c = blt_coefficients(blt, kRounds);
  const double each = blt_rounding_units(blt, kLog2Sigma, 1, kRounds) / std::sqrt(double(kRounds));
  EXPECT_LT(each, 1.5);
  // x: noise in the releases under one input; the neighbour adds `change` in rounds 3, 50 and 51.
  BltFilter under(blt, 1), neighbour(blt, 1);
  std::vector<double> change(kRounds);
  change[3] = 1e8, change[50] = -7e8, change[51] = 3e8;
  double total = 0;
  for (std::size_t t = 0; t < kRounds; ++t) {
    std::int64_t z = static_cast<std::int64_t>(
        std::normal_distribution<double>(0, std::ldexp(1.0, kLog2Sigma))(random));
    std::int64_t x = z;
    under.next({&x, 1});
    // The draw that gives the neighbour the noise x - change: what the filter takes off is known by
    // asking it for nothing.
    BltFilter probe(blt, 1);
    probe.restore(neighbour.state());
    std::int64_t taken = 0;
    probe.next({&taken, 1});
    std::int64_t other = x - static_cast<std::int64_t>(change[t]) - taken;
    double moved = static_cast<double>(z - other);
    neighbour.next({&other, 1});
    ASSERT_EQ(other, x - static_cast<std::int64_t>(change[t]));
    for (std::size_t j = 0; j <= t; ++j) moved -= c[t - j] * change[j];
    EXPECT_LE(std::abs(moved), each) << t;
    total += moved * moved;
  }
  EXPECT_LE(std::sqrt(total), blt_rounding_units(blt, kLog2Sigma, 1, kRounds));
}

}  // namespace
}  // namespace muster::privacy
