#include <gmock/gmock.h>

#include <random>

#include "robust_agg/select.h"
#include "tests/robust_agg/krum_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Rows gaussian(std::size_t n, std::size_t d, double scale, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, scale);
  Rows rows(n, Vector(d));
  for (Vector& row : rows)
    for (double& x : row) x = normal(random);
  return rows;
}

/// n vectors that differ from a common one by |difference|^2 / |x|^2 of about `ratio`.
Rows cluster(std::size_t n, std::size_t d, double ratio, std::mt19937_64& random) {
  const Vector centre = gaussian(1, d, 1, random)[0];
  Rows rows = gaussian(n, d, std::sqrt(ratio / 2), random);
  for (Vector& row : rows)
    for (std::size_t k = 0; k < d; ++k) row[k] += centre[k];
  return rows;
}

TEST(Krum, PicksAnInputRow) {
  std::mt19937_64 random(1);
  const Rows rows = gaussian(9, 20, 1, random);
  const Answer answer = run({.rule = Krum{faulty(2)}, .chunk_coordinates = 7}, rows);
  ASSERT_EQ(answer.outcome.selected.size(), 1u);
  const Vector& picked = rows[answer.outcome.selected.rows()[0]];
  for (std::size_t k = 0; k < picked.size(); ++k)
    EXPECT_NEAR(answer.values[k], static_cast<float>(picked[k]), answer.resolution);
}

TEST(Krum, SelectsAsTheDefinitionInLongDoubleDoes) {
  std::mt19937_64 random(2);
  for (int trial = 0; trial < 60; ++trial) {
    const std::uint32_t f = static_cast<std::uint32_t>(trial % 4);
    const std::size_t n = 2 * f + 3 + static_cast<std::size_t>(trial % 5);
    Rows rows = gaussian(n, 30, 1, random);
    if (trial % 3 == 0) rows[1] = rows[0];            // duplicates: distance 0 to another row
    if (trial % 3 == 1) rows[n - 1] = Vector(30, 0);  // and a zero update
    for (const auto neighbours : {Neighbours::kNMinusFMinus2, Neighbours::kNMinusFMinus1}) {
      const std::size_t q = n - f - (neighbours == Neighbours::kNMinusFMinus2 ? 2 : 1);
      const auto scores = krum_scores(rows, q);
      for (const std::uint32_t m : {1u, 2u, f + 1}) {
        const Answer answer = run({.rule = MultiKrum{faulty(f), m, neighbours}}, rows);
        EXPECT_EQ(answer.outcome.selected.rows(), best_rows(scores, m))
            << "trial " << trial << " m " << m;
      }
      EXPECT_EQ(run({.rule = Krum{faulty(f), neighbours}}, rows).outcome.selected.rows(),
                best_rows(scores, 1));
    }
  }
}

TEST(Krum, SquaresDistancesOnce) {
  // A search for cohorts where the score of other libraries (fourth powers, plain distances) elects
  // another row; the seed is fixed, so there are some.
  std::mt19937_64 random(3);
  int fourth_differs = 0, plain_differs = 0;
  for (int trial = 0; trial < 50; ++trial) {
    const Rows rows = gaussian(8, 2, 1, random);
    const auto ours =
        run_on(cpu_backend(), {.rule = Krum{faulty(2)}}, rows).outcome.selected.rows();
    EXPECT_EQ(ours, best_rows(krum_scores(rows, 4, 2), 1));
    fourth_differs += ours != best_rows(krum_scores(rows, 4, 4), 1);
    plain_differs += ours != best_rows(krum_scores(rows, 4, 1), 1);
  }
  EXPECT_GT(fourth_differs, 0);
  EXPECT_GT(plain_differs, 0);
}

TEST(Krum, TellsNearlyEqualUpdatesApart) {
  std::mt19937_64 random(4);
  for (const double ratio : {1.0, 1e-2, 1e-6, 1e-10}) {
    const Rows rows = cluster(12, 20'000, ratio, random);
    const auto scores = krum_scores(rows, 8);
    for (const std::uint32_t m : {1u, 4u, 8u})
      EXPECT_EQ(run({.rule = MultiKrum{faulty(2), m}, .chunk_coordinates = 8192}, rows)
                    .outcome.selected.rows(),
                best_rows(scores, m))
          << "ratio " << ratio << " m " << m;
  }
}

TEST(Krum, LargeAttackersDoNotCostPrecision) {
  std::mt19937_64 random(5);
  Rows rows = cluster(12, 5000, 1e-6, random);
  rows[3] = Vector(5000, 60);
  rows[7] = Vector(5000, -60);
  const Answer answer = run({.rule = MultiKrum{faulty(2), 5}}, rows);
  EXPECT_EQ(answer.outcome.selected.rows(), best_rows(krum_scores(rows, 8), 5));
}

TEST(Krum, MeasuresAgainOnlyWhatIsClose) {
  std::mt19937_64 random(6);
  ReferenceBackend apart;
  run_on(apart, {.rule = MultiKrum{faulty(2), 5}}, gaussian(12, 500, 1, random));
  EXPECT_EQ(apart.pairs_measured(), 0u);
  ReferenceBackend close;
  const Answer answer =
      run_on(close, {.rule = MultiKrum{faulty(2), 5}}, cluster(12, 500, 1e-10, random));
  EXPECT_GT(close.pairs_measured(), 0u);
  EXPECT_THAT(answer.outcome.chosen,
              HasSubstr(std::to_string(close.pairs_measured()) + " of 66 distances"));
  // Integer codes are exact: even ties need no second look.
  ReferenceBackend exact;
  run_on(exact, {.rule = Krum{faulty(2)}, .format = {Codec::kI8S, 0}}, Rows(9, Vector{1, 2, 3}));
  EXPECT_EQ(exact.pairs_measured(), 0u);
}

TEST(Krum, SelectionDoesNotDependOnHowTheGramWasRounded) {
  std::mt19937_64 random(7);
  int moved = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const Rows rows = cluster(11, 200, 1e-11, random);
    const Conditions conditions{.rule = MultiKrum{faulty(2), 4}};
    ReferenceBackend exact, noisy;
    noisy.set_gram_noise(1e-13);
    const auto selected = run_on(exact, conditions, rows).outcome.selected.rows();
    EXPECT_EQ(run_on(noisy, conditions, rows).outcome.selected.rows(), selected);
    EXPECT_EQ(best_rows(krum_scores(rows, 7), 4), selected);

    // What a selection from the noisy matrix alone would have been.
    std::vector<double> gram(11 * 11);
    for (std::size_t i = 0; i < 11; ++i)
      for (std::size_t j = 0; j < 11; ++j) {
        double& entry = gram[i * 11 + j];
        for (std::size_t k = 0; k < 200; ++k)
          entry += double{static_cast<float>(rows[i][k])} * static_cast<float>(rows[j][k]);
        entry *= 1 + 1e-13 * static_cast<double>((i + j) % 3);
      }
    const Verdict naive = judge(score_bounds(GramDistances(gram, 11, 0), 7), 4);
    moved += naive.selected != selected;
  }
  EXPECT_GT(moved, 0) << "the noise is too small to prove anything";
}

TEST(Krum, EqualRowsAreDecidedByRankAlone) {
  for (const Codec codec : {Codec::kF32, Codec::kI8B, Codec::kI8S}) {
    const Answer answer = run(
        {.rule = MultiKrum{faulty(1), 2}, .format = {codec, 0}, .ranks = {70, 20, 90, 10, 50, 60}},
        Rows(6, Vector{1, -2, 3}));
    EXPECT_THAT(answer.outcome.selected.rows(), ElementsAre(1, 3));
    EXPECT_THAT(answer.values, ElementsAre(1, -2, 3));
  }
}

TEST(GramDistances, ExcludeTheRowItselfAndNegativeRounding) {
  // Rounding made G_01 larger than both squared norms: the distance is 0, not negative.
  const double gram[] = {1, 1.0000001, 0, 1.0000001, 1, 0, 0, 0, 4};
  const GramDistances distances(gram, 3, 0);
  EXPECT_EQ(distances.least(0, 1), 0);
  EXPECT_EQ(distances.least(0, 2), 5);
  const ScoreBounds bounds = score_bounds(distances, 2);
  EXPECT_THAT(bounds.least, ElementsAre(5, 5, 10));
  EXPECT_EQ(bounds.least, bounds.most);
}

TEST(Judge, SelectsWhatIsSureAndNamesTheRest) {
  const ScoreBounds bounds{{1, 3, 3.5, 9, 20}, {2, 4, 5, 10, 30}};
  const Verdict one = judge(bounds, 1);
  EXPECT_THAT(one.selected, ElementsAre(0));
  EXPECT_THAT(one.contenders, IsEmpty());
  const Verdict two = judge(bounds, 2);
  EXPECT_THAT(two.selected, ElementsAre(0));
  EXPECT_THAT(two.contenders, ElementsAre(1, 2));
  EXPECT_EQ(two.open, 1u);
  const Verdict three = judge(bounds, 3);
  EXPECT_THAT(three.selected, ElementsAre(0, 1, 2));
  EXPECT_EQ(three.open, 0u);
}

TEST(Judge, ScoresOfSetAAreTheGoldenOnes) {
  const Rows rows = {{4, -2, 1, 0}, {5, -1, 0, 2}, {3, -3, 2, 1},  {4, -1, 1, 1},
                     {6, -2, 0, 0}, {2, -2, 3, 2}, {-9, 8, -7, 30}};
  std::vector<double> gram;
  for (const Vector& a : rows)
    for (const Vector& b : rows)
      gram.push_back(std::inner_product(a.begin(), a.end(), b.begin(), 0.0));
  const GramDistances distances(gram, 7, 0);
  EXPECT_THAT(score_bounds(distances, 4).least, ElementsAre(18, 29, 27, 18, 33, 45, 4557));
  EXPECT_THAT(score_bounds(distances, 5).least, ElementsAre(30, 48, 42, 28, 62, 74, 5790));
  const double upper[] = {7, 4,  2, 5,    12, 1233, 13,   3,  6,    19,  1110,
                          6, 15, 4, 1187, 7,  10,   1155, 29, 1274, 1105};
  const double* expected = upper;
  for (std::uint32_t i = 0; i < 7; ++i)
    for (std::uint32_t j = i + 1; j < 7; ++j) EXPECT_EQ(distances.most(i, j), *expected++);
}

}  // namespace
}  // namespace muster::robust::testing
