// Meamed, Phocas, Bulyan and MDA against their definitions.
#include <gmock/gmock.h>

#include <random>

#include "robust_agg/mda.h"
#include "tests/robust_agg/rule_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Rows gaussian(std::size_t n, std::size_t d, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Rows rows(n, Vector(d));
  for (Vector& row : rows)
    for (double& x : row) x = static_cast<float>(normal(random));
  return rows;
}

/// Rows that differ from a common one by about `distance` times its length.
Rows cluster(std::size_t n, std::size_t d, double distance, std::mt19937_64& random) {
  const Vector centre = gaussian(1, d, random)[0];
  Rows rows = gaussian(n, d, random);
  for (Vector& row : rows)
    for (std::size_t k = 0; k < d; ++k) row[k] = static_cast<float>(centre[k] + distance * row[k]);
  return rows;
}

void expect_near(const Answer& answer, const Vector& expected, double tolerance) {
  ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
  for (std::size_t k = 0; k < expected.size(); ++k)
    EXPECT_NEAR(answer.values[k], expected[k], tolerance) << "coordinate " << k;
}

TEST(MeanAroundCentre, FollowsTheDefinition) {
  std::mt19937_64 random(11);
  for (const std::size_t n : {1u, 3u, 8u, 25u, 65u, 130u})
    for (const auto f :
         {0u, static_cast<std::uint32_t>((n - 1) / 4), static_cast<std::uint32_t>((n - 1) / 2)}) {
      SCOPED_TRACE("n " + std::to_string(n) + " f " + std::to_string(f));
      const Rows rows = gaussian(n, 40, random);
      for (const Rule& rule : {Rule(Meamed{faulty(f)}), Rule(Phocas{faulty(f)})}) {
        const Answer answer = run({.rule = rule, .chunk_coordinates = 16}, rows);
        expect_near(answer, after_rule(rule, rows, f), 1e-11);
        EXPECT_EQ(answer.outcome.divisor, n - f);
      }
    }
}

TEST(MeanAroundCentre, SplitsTiesWhateverTheOrder) {
  // 2 and 4 are as far from the median 3; one place is left, and each gets half of it.
  const Answer answer = run({.rule = Meamed{faulty(2)}}, {{3}, {2}, {4}, {3}, {10}, {3}});
  EXPECT_THAT(answer.values, ElementsAre(3));
  // The places left over are three of four: 3/4 (0 + 0 + 0 + 8) of them beside three times 4.
  const Answer uneven = run({.rule = Meamed{faulty(1)}}, {{4}, {4}, {4}, {0}, {0}, {8}, {0}});
  EXPECT_EQ(uneven.outcome.divisor, 6);
  EXPECT_NEAR(uneven.values[0], (3 * 4 + 3 * 8 / 4.0) / 6, uneven.resolution);
}

TEST(Mda, FindsTheBestSubsetAmongAll) {
  std::mt19937_64 random(12);
  for (int trial = 0; trial < 60; ++trial) {
    const auto f = static_cast<std::uint32_t>(trial % 5);
    const std::size_t n = 2 * f + 1 + static_cast<std::size_t>(trial % 4);
    // Every third cohort lies on a small grid, full of ties.
    Rows rows = gaussian(n, 1 + static_cast<std::size_t>(trial % 3), random);
    if (trial % 3 == 0)
      for (Vector& row : rows)
        for (double& x : row) x = std::nearbyint(x);
    const Answer answer = run_on(cpu_backend(), {.rule = Mda{faulty(f)}}, rows);
    EXPECT_EQ(answer.outcome.selected.rows(), mda_rows(rows, f)) << "trial " << trial;
  }
}

TEST(Mda, SubsetsAreCountedUpToTheLimit) {
  EXPECT_EQ(subset_count(7, 0), 1u);
  EXPECT_EQ(subset_count(7, 2), 21u);
  EXPECT_EQ(subset_count(25, 5), 53'130u);
  EXPECT_EQ(subset_count(10'000'000, 1), 10'000'000u);
  EXPECT_EQ(subset_count(10'000'001, 1), kMostSubsets + 1);
  EXPECT_EQ(subset_count(1u << 24, 1u << 22), kMostSubsets + 1);
}

TEST(Mda, ManyRowsAreNoSearchThroughSubsets) {
  // C(100, 4) is 3.9 million; the cluster of 4 outside is found at once.
  std::mt19937_64 random(13);
  Rows rows = gaussian(100, 3, random);
  for (std::size_t i = 10; i < 14; ++i) rows[i] = {30, 30, 30};
  const Answer answer = run_on(cpu_backend(), {.rule = Mda{faulty(4)}}, rows);
  EXPECT_EQ(answer.outcome.selected.size(), 96u);
  for (const std::uint32_t row : answer.outcome.selected.rows()) EXPECT_TRUE(row < 10 || row >= 14);
}

TEST(Bulyan, ElectsOneAfterTheOther) {
  std::mt19937_64 random(14);
  for (int trial = 0; trial < 40; ++trial) {
    const auto f = static_cast<std::uint32_t>(trial % 4);
    const std::size_t n = 4 * f + 3 + static_cast<std::size_t>(trial % 5);
    Rows rows = gaussian(n, 20, random);
    if (trial % 3 == 0) rows[1] = rows[0];
    const Answer answer = run({.rule = Bulyan{faulty(f)}}, rows);
    auto elected = bulyan_order(rows, f);
    std::sort(elected.begin(), elected.end());
    EXPECT_EQ(answer.outcome.selected.rows(), elected) << "trial " << trial;
    expect_near(answer, after_rule(Bulyan{faulty(f)}, rows, f), 1e-11);
    EXPECT_EQ(answer.outcome.divisor, n - 4 * f);
  }
}

TEST(Bulyan, ElectionDoesNotDependOnHowTheGramWasRounded) {
  std::mt19937_64 random(15);
  std::size_t measured = 0;
  for (int trial = 0; trial < 10; ++trial) {
    const Rows rows = cluster(13, 200, 3e-6, random);
    const Conditions conditions{.rule = Bulyan{faulty(2)}};
    ReferenceBackend exact, noisy;
    noisy.set_gram_noise(1e-13);
    const auto selected = run_on(exact, conditions, rows).outcome.selected.rows();
    EXPECT_EQ(run_on(noisy, conditions, rows).outcome.selected.rows(), selected);
    auto elected = bulyan_order(rows, 2);
    std::sort(elected.begin(), elected.end());
    EXPECT_EQ(selected, elected);
    measured += noisy.pairs_measured();
  }
  EXPECT_GT(measured, 0u) << "the rows are too far apart to prove anything";
}

TEST(Bulyan, MeasuresNothingTwiceAndNothingThatIsClear) {
  std::mt19937_64 random(16);
  ReferenceBackend apart, close, exact;
  run_on(apart, {.rule = Bulyan{faulty(2)}}, gaussian(12, 300, random));
  // At the end one neighbour counts, and two rows that are each other's nearest tie.
  EXPECT_LE(apart.pairs_measured(), 2u);
  const Answer answer = run_on(close, {.rule = Bulyan{faulty(2)}}, cluster(12, 300, 1e-6, random));
  EXPECT_LE(close.pairs_measured(), 66u);
  EXPECT_THAT(answer.outcome.chosen,
              HasSubstr(std::to_string(close.pairs_measured()) + " of 66 distances"));
  run_on(exact, {.rule = Bulyan{faulty(1)}, .format = {Codec::kI8S, 0}}, Rows(9, Vector{1, 2, 3}));
  EXPECT_EQ(exact.pairs_measured(), 0u);
}

TEST(Bulyan, EqualRowsAreDecidedByRankAlone) {
  const Answer answer = run({.rule = Bulyan{faulty(1)}, .ranks = {70, 20, 90, 10, 50, 60, 30}},
                            Rows(7, Vector{1, -2, 3}));
  EXPECT_THAT(answer.outcome.selected.rows(), ElementsAre(1, 3, 4, 5, 6));
  EXPECT_THAT(answer.values, ElementsAre(1, -2, 3));
}

}  // namespace
}  // namespace muster::robust::testing
