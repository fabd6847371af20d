// Tree aggregation and BLT: sensitivities of algorithms 7.7 and 7.8.
#include "privacy/correlated.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "privacy/accountant.h"
#include "privacy/accountant_gaussian.h"
#include "privacy/discrete.h"

namespace muster::privacy {
namespace {

TEST(Tree, SensitivityIsWhatTheCheckValuesSay) {
  struct Row {
    std::uint32_t k, strictly_between;
    std::uint64_t rounds, zeta;
  };
  for (const Row& row :
       {Row{1, 7, 8, 4}, Row{3, 3, 9, 11}, Row{3, 2, 7, 9}, Row{8, 2, 24, 88}, Row{11, 0, 8, 120},
        Row{2, 0, 19, 18}, Row{2, 255, 1024, 26}, Row{4, 100, 512, 60}, Row{6, 313, 2000, 79}}) {
    const auto zeta = tree_sensitivity_squared({row.k, row.strictly_between + 1}, row.rounds);
    ASSERT_TRUE(zeta.ok()) << zeta.status().to_string();
    EXPECT_EQ(*zeta, row.zeta) << row.k << ' ' << row.strictly_between << ' ' << row.rounds;
  }
}

/// All patterns of participation, one by one.
std::uint64_t by_search(const Participation& limit, std::uint64_t rounds) {
  std::uint64_t best = 0;
  for (std::uint64_t pattern = 0; pattern < (std::uint64_t{1} << rounds); ++pattern) {
    if (static_cast<std::uint32_t>(std::popcount(pattern)) > limit.participations) continue;
    bool apart = true;
    for (std::uint32_t s = 1; s < limit.separation; ++s)
      apart = apart && (pattern & (pattern >> s)) == 0;
    if (!apart) continue;
    std::uint64_t sum = 0;
    for (std::uint64_t size = 1; size <= rounds; size *= 2)
      for (std::uint64_t first = 0; first + size <= rounds; first += size) {
        const auto below = static_cast<std::uint64_t>(
            std::popcount((pattern >> first) & ((std::uint64_t{1} << size) - 1)));
        sum += below * below;
      }
    best = std::max(best, sum);
  }
  return best;
}

TEST(Tree, SensitivityIsTheGreatestOverAllPatterns) {
  for (std::uint64_t rounds = 1; rounds <= 13; ++rounds)
    for (std::uint32_t k = 1; k <= 5; ++k)
      for (std::uint32_t separation = 1; separation <= 5; ++separation) {
        const Participation limit{k, separation};
        EXPECT_EQ(*tree_sensitivity_squared(limit, rounds), by_search(limit, rounds))
            << rounds << ' ' << k << ' ' << separation;
      }
}

TEST(Tree, GivesUpWhereTheSearchIsTooLarge) {
  const auto zeta = tree_sensitivity_squared({1000, 1}, 1'000'000);
  ASSERT_FALSE(zeta.ok());
  EXPECT_EQ(zeta.status().reason(), "tree_too_large");
}

TEST(Tree, PublishedRunsCostWhatWasPublished) {
  const Schedule gboard{7, Adjacency::kZeroOut, Tree{{6, 314}, 0}, 2000};
  EXPECT_NEAR(*sensitivity_squared(gboard) / 98, .806, 5e-4);  // rho
  EXPECT_NEAR(*epsilon(gboard, 1e-10, Accountant::kRdp), 8.90, 5.1e-3);
  EXPECT_NEAR(*epsilon(gboard, 1e-10, Accountant::kGaussian), 8.53, 5.1e-3);
  const auto overflow = [](double z) {
    return Schedule{z, Adjacency::kZeroOut, Tree{{1, 1}, 1600}, 1600};
  };
  EXPECT_NEAR(*epsilon(overflow(1.13), 1e-6, Accountant::kRdp), 18.710, 5.1e-4);
  EXPECT_NEAR(*epsilon(overflow(1.13), 1e-6, Accountant::kGaussian), 17.667, 5.1e-4);
  EXPECT_NEAR(*epsilon(overflow(8.83), 1e-6, Accountant::kRdp), 1.773, 5.1e-4);
  EXPECT_NEAR(*epsilon(overflow(8.83), 1e-6, Accountant::kGaussian), 1.649, 5.1e-4);
}

TEST(Blt, GoldenCoefficientsInverseAndSensitivity) {
  const Blt blt{{.9, .5}, {.1, .6}};
  const auto c = blt_coefficients(blt, 8), inverse = blt_inverse(blt, 8);
  const double expected_c[] = {1, .7, .39, .231, .1479, .10311, .077799, .0625191};
  const double expected_inverse[] = {1, -.7, .1, -.028, -.0056, -.00784, -.006272, -.005488};
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(c[i], expected_c[i], 5.1e-8);
    EXPECT_NEAR(inverse[i], expected_inverse[i], 5.1e-8);
  }
  EXPECT_NEAR(toeplitz_sensitivity_squared(c, {1, 4}), 1.737928, 5.1e-7);
  EXPECT_NEAR(toeplitz_sensitivity_squared(c, {2, 4}), 3.963110, 5.1e-7);
}

TEST(Blt, OptimisedParametersReachThePublishedLoss) {
  const Blt blt{{.9999528892, .9857068667}, {.0122853238, .1878393665}};
  const double sensitivity = toeplitz_sensitivity_squared(blt_coefficients(blt, 100'000), {1, 1});
  const double error = toeplitz_max_error_squared(blt_inverse(blt, 100'000));
  EXPECT_NEAR(std::sqrt(sensitivity * error), 5.2967 * 1, 5.1e-4 * 5);
}

TEST(Blt, OptimalToeplitzIsTheSquareRootOfTheSummation) {
  const auto c = optimal_toeplitz(2048);
  EXPECT_EQ(c[1], .5);
  EXPECT_EQ(c[2], .375);
  EXPECT_EQ(c[4], .2734375);
  // Identity noise: prefix errors 1..T; its loss at T = 2048 is the table's 45.25.
  std::vector<double> identity(2048, 0.0);
  identity[0] = 1;
  EXPECT_NEAR(std::sqrt(toeplitz_max_error_squared(identity)), 45.25, 5.1e-3);
}

TEST(Blt, SensitivityCoversColumnsThatDoNotFall) {
  // 1, 0, 2: the cumulative maximum from behind is 2, 2, 2.
  EXPECT_NEAR(toeplitz_sensitivity_squared({1, 0, 2}, {1, 1}), 12, 1e-8);
}

TEST(Participation, IsLimitedBySeparation) {
  EXPECT_EQ(participations_possible({6, 314}, 2000), 6u);
  EXPECT_EQ(participations_possible({100, 314}, 2000), 7u);
  EXPECT_EQ(participations_possible({100, 314}, 314), 1u);
  EXPECT_EQ(participations_possible({100, 314}, 315), 2u);
  EXPECT_EQ(participations_possible({5, 1}, 3), 3u);
}

TEST(Discrete, CorrectionIsSmallOnTheGridsMusterUsesAndPessimistic) {
  // A thousand devices: m = 20; ten million coordinates, a thousand rounds.
  const Closeness close = discrete_closeness(1e10, 20);
  EXPECT_LT(close.shift, 1e-3);
  EXPECT_GT(close.shift, 7e-4);
  EXPECT_LT(close.tail, 1e-26);
  const double delta = continuous_delta(close, 1e-6, 10);
  EXPECT_LT(delta, 1e-6);
  EXPECT_GT(delta, .999e-6);
  EXPECT_LE(continuous_delta(close, 1e-90, 10), 0);
  EXPECT_NEAR(sampler_delta(1e10, 1e-20, 1), 3.718e-10, 1e-13);
}

TEST(Discrete, CorrectionCoversTheExactDeltaOfOneCoordinate) {
  // P[Y > e s^2 / v - v / 2] - e^e P[Y > e s^2 / v + v / 2] for one draw of parameter s = 256.
  const int m = 8;
  const double s = std::ldexp(1.0, m);
  double norm = 0;
  for (int k = -4000; k <= 4000; ++k) norm += std::exp(-k * k / (2 * s * s));
  for (const int v : {16, 80, 256, 640}) {
    for (const double e : {.01, .3, 1.0, 4.0}) {
      double exact = 0;
      for (int k = -4000; k <= 4000; ++k) {
        const double p = std::exp(-k * k / (2 * s * s)) / norm;
        const double other = std::exp(-(k + v) * (k + v) / (2 * s * s)) / norm;
        exact += std::max(0.0, p - std::exp(e) * other);
      }
      if (exact < 1e-12) continue;
      const Closeness close = discrete_closeness(1, m);
      const double epsilon =
          gaussian_epsilon(v / s, continuous_delta(close, exact, e)) + close.shift;
      EXPECT_GE(epsilon, e - 1e-9) << v << ' ' << e;
      EXPECT_LT(epsilon, e + 4e-3) << v << ' ' << e;
    }
  }
}

}  // namespace
}  // namespace muster::privacy
