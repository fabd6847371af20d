// Geometric median, centred clipping, CGE, CAF, FLTrust, MoNNA, sign majority.
#include <gmock/gmock.h>

#include <limits>
#include <random>

#include "tests/robust_agg/row_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Rows kSetA = {{4, -2, 1, 0}, {5, -1, 0, 2}, {3, -3, 2, 1},  {4, -1, 1, 1},
                    {6, -2, 0, 0}, {2, -2, 3, 2}, {-9, 8, -7, 30}};
const Rows kByzFl = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
const Vector kTrusted = {4, -2, 1, 1};  // g_0 of set A

constexpr ChunkFormat kF32 = {Codec::kF32, 0}, kI8B = {Codec::kI8B, 1}, kI8S = {Codec::kI8S, 0};

Rows with(Rows rows, const Vector& last) {
  rows.push_back(last);
  return rows;
}

GeometricMedian median_from_zero(std::uint32_t steps, double tolerance = 0) {
  return {0.1, steps, tolerance, Start::kZero};
}
CentredClipping clipping_from_zero(double tau, std::uint32_t steps) {
  return {tau, steps, Start::kZero};
}

void expect_near(const Answer& answer, const Vector& expected, double tolerance) {
  ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
  ASSERT_EQ(answer.values.size(), expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k)
    EXPECT_NEAR(answer.values[k], expected[k], tolerance) << "coordinate " << k;
}

struct Example {
  Rule rule;
  Vector expected;
  std::vector<std::uint32_t> selected = {};
  double tolerance = 5.1e-7;
};

std::vector<Example> examples() {
  const Vector without_attacker = {4, -11.0 / 6, 7.0 / 6, 1};
  bool clear = false;
  const Vector filtered = reference_caf(kSetA, 1, clear);
  EXPECT_TRUE(clear);
  return {
      {clipping_from_zero(4, 1), {2.538265, -1.134150, 0.747246, 1.226586}},
      {clipping_from_zero(4, 2), {3.592790, -1.576396, 0.973542, 1.527103}},
      {clipping_from_zero(4, 3), {3.727246, -1.633446, 1.003209, 1.560478}},
      {median_from_zero(1), {3.567019, -1.593819, 1.050103, 1.723718}},
      {median_from_zero(3), {3.909778, -1.563526, 1.025850, 1.163790}},
      {median_from_zero(8), {3.956624, -1.489955, 0.992961, 1.122049}},
      {median_from_zero(1000, 1e-15), {3.957757, -1.486112, 0.992136, 1.121905}},
      {GeometricMedian{1e-6, 1000, 1e-15}, {3.957757, -1.486112, 0.992136, 1.121905}},
      {Cge{faulty(1)}, without_attacker, {0, 1, 2, 3, 4, 5}, 1e-9},
      // Squared norms 21 30 23 19 40 21: rows 5 and 2 go next.
      {Cge{faulty(3)}, {13.0 / 4, -2, 7.0 / 4, 1}, {0, 2, 3, 5}, 1e-9},
      {Caf{faulty(0)}, {15.0 / 7, -3.0 / 7, 0, 36.0 / 7}, {}, 1e-9},
      {Caf{faulty(1)}, filtered, {}, 1e-8},
      {SignMajority{}, {1, -1, 1, 1}, {}, 0},
      {SignMajority{0.25}, {0.25, -0.25, 0.25, 0.25}, {}, 0},
  };
}

TEST(RowRules, SetAHoldsForEveryCodecAndBackend) {
  for (const ChunkFormat format : {kF32, kI8B, kI8S})
    for (const Example& example : examples()) {
      SCOPED_TRACE(std::string(codec_name(format.codec)) + " " + to_string(example.rule));
      const Answer answer = run({.rule = example.rule,
                                 .format = format,
                                 .chunk_coordinates = format.codec == Codec::kI8B ? 2u : 3u},
                                kSetA);
      expect_near(answer, example.expected, example.tolerance);
      EXPECT_EQ(answer.outcome.selected.rows(), example.selected);
      EXPECT_EQ(answer.outcome.n, 7u);
    }
}

TEST(RowRules, ConvergedMedianHasThePublishedObjective) {
  const Answer answer = run({.rule = median_from_zero(1000, 1e-15)}, kSetA);
  double objective = 0;
  for (const Vector& row : kSetA) objective += distance(row, answer.values);
  EXPECT_NEAR(objective, 45.114300, 5e-7);
  EXPECT_THAT(answer.outcome.chosen, HasSubstr("settled"));
  EXPECT_THAT(run({.rule = median_from_zero(3, 1e-15)}, kSetA).outcome.chosen,
              HasSubstr("3 steps, not settled"));
}

TEST(RowRules, MicroVectorsOfByzFl) {
  expect_near(run({.rule = median_from_zero(3)}, kByzFl), {3.78788764, 4.78788764, 5.78788764},
              5e-9);
  expect_near(run({.rule = Caf{faulty(1)}}, kByzFl), {4, 5, 6}, 1e-9);
  expect_near(run({.rule = clipping_from_zero(100, 1)}, kByzFl), {4, 5, 6}, 1e-9);
  expect_near(run({.rule = Monna{faulty(1)}, .trusted = 1}, kByzFl), {2.5, 3.5, 4.5}, 1e-9);
}

TEST(RowRules, TrustedRulesOnSetA) {
  for (const ChunkFormat format : {kF32, kI8B, kI8S}) {
    Conditions conditions{.rule = FlTrust{},
                          .format = format,
                          .chunk_coordinates = format.codec == Codec::kI8B ? 2u : 3u,
                          .trusted = 7};
    const Answer answer = run(conditions, with(kSetA, kTrusted));
    expect_near(answer, {3.736861, -1.729249, 1.134855, 0.932874}, 5.1e-7);
    EXPECT_NEAR(answer.outcome.divisor, .977008 + .934199 + .933564 + .978232 + .943880 + .790912,
                3e-6);
    EXPECT_THAT(answer.outcome.chosen, HasSubstr("6 with a positive score"));
    conditions.trusted = 0;
    conditions.rule = Monna{faulty(1)};
    expect_near(run(conditions, kSetA), {4, -11.0 / 6, 7.0 / 6, 1}, 1e-9);
    conditions.rule = Monna{faulty(2)};
    expect_near(run(conditions, kSetA), {4.4, -1.8, 0.8, 0.8}, 1e-9);
  }
}

/// Runs on every order of the rows; ranks, weights and trust move with the rows.
void expect_same_in_every_order(const Conditions& sorted, const Rows& rows) {
  const Answer expected = run_on(cpu_backend(), sorted, rows);
  ASSERT_TRUE(expected.status.ok()) << expected.status.to_string();
  std::vector<std::uint64_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  do {
    Conditions conditions = sorted;
    conditions.ranks = order;
    Rows permuted;
    for (std::size_t i = 0; i < order.size(); ++i) {
      permuted.push_back(rows[order[i]]);
      if (!sorted.weights.empty()) conditions.weights[i] = sorted.weights[order[i]];
      if (sorted.trusted == order[i]) conditions.trusted = static_cast<std::uint32_t>(i);
    }
    const Answer answer = run_on(cpu_backend(), conditions, permuted);
    ASSERT_EQ(answer.sum, expected.sum) << ::testing::PrintToString(order);
    ASSERT_EQ(answer.outcome.divisor, expected.outcome.divisor);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(RowRules, EveryOrderOfSetAGivesTheSameBits) {
  for (const Rule& rule : {Rule(median_from_zero(8)), Rule(GeometricMedian{1e-3, 30, 1e-9}),
                           Rule(clipping_from_zero(4, 3)), Rule(Cge{faulty(1)}),
                           Rule(Caf{faulty(1)}), Rule(Caf{faulty(2)}), Rule(SignMajority{})})
    for (const ChunkFormat format : {kF32, kI8S}) {
      SCOPED_TRACE(std::string(codec_name(format.codec)) + " " + to_string(rule));
      Conditions conditions{.rule = rule, .format = format, .chunk_coordinates = 3};
      conditions.max_weight = 4;
      conditions.weights = {1, 2, 3, 4, 1, 2, 3};
      ASSERT_NO_FATAL_FAILURE(expect_same_in_every_order(conditions, kSetA));
    }
  for (const Rule& rule : {Rule(FlTrust{}), Rule(Monna{faulty(2)})}) {
    SCOPED_TRACE(to_string(rule));
    ASSERT_NO_FATAL_FAILURE(
        expect_same_in_every_order({.rule = rule, .chunk_coordinates = 3, .trusted = 0}, kSetA));
  }
}

TEST(RowRules, AgreeWithPlainLoopsOnRandomRows) {
  int compared = 0;
  for (int trial = 0; trial < 60; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    std::mt19937_64 random(static_cast<std::uint64_t>(trial) + 1);
    std::normal_distribution<double> normal;
    const std::size_t n = 5 + random() % 8, d = 2 + random() % 6;
    Rows rows(n, Vector(d));
    for (Vector& row : rows)
      for (double& x : row) x = static_cast<float>(normal(random));
    for (double& x : rows[0]) x = static_cast<float>(x + 20);
    Conditions conditions{.rule = Mean{}, .chunk_coordinates = 4, .max_weight = 5};
    Vector weights;
    for (std::size_t i = 0; i < n; ++i) {
      conditions.weights.push_back(static_cast<std::uint32_t>(1 + random() % 5));
      weights.push_back(conditions.weights.back());
    }
    Vector previous(d);
    for (double& x : previous) {
      x = static_cast<float>(normal(random));
      conditions.previous.push_back(static_cast<float>(x));
    }
    conditions.trusted = static_cast<std::uint32_t>(random() % n);
    const auto answer = [&](const Rule& rule) {
      conditions.rule = rule;
      return run_on(cpu_backend(), conditions, rows);
    };
    const Vector zero(d);
    expect_near(answer(GeometricMedian{1e-3, 6, 0, Start::kZero}),
                reference_geometric_median(rows, weights, 1e-3, 6, zero), 1e-9);
    expect_near(answer(GeometricMedian{1e-3, 6, 0, Start::kPrevious}),
                reference_geometric_median(rows, weights, 1e-3, 6, previous), 1e-9);
    expect_near(answer(GeometricMedian{1e-3, 6, 0, Start::kMean}),
                reference_geometric_median(rows, weights, 1e-3, 6, weighted_mean(rows, weights)),
                1e-9);
    expect_near(answer(CentredClipping{0.7, 3, Start::kZero}),
                reference_centred_clipping(rows, weights, 0.7, 3, zero), 1e-9);
    expect_near(answer(CentredClipping{2.5, 2, Start::kPrevious}),
                reference_centred_clipping(rows, weights, 2.5, 2, previous), 1e-9);
    const auto f = static_cast<std::uint32_t>(random() % ((n + 1) / 2));
    expect_near(answer(Cge{faulty(f)}), reference_cge(rows, f), 1e-9);
    expect_near(answer(Monna{faulty(f)}), reference_monna(rows, *conditions.trusted, f), 1e-9);
    expect_near(answer(FlTrust{}), reference_fltrust(rows, *conditions.trusted), 1e-9);
    expect_near(answer(SignMajority{2}), reference_sign_majority(rows, 2), 0);
    bool clear = false;
    const Vector filtered = reference_caf(rows, f, clear);
    const Answer caf = answer(Caf{faulty(f)});
    if (clear) {
      ++compared;
      expect_near(caf, filtered, 1e-6);
    }
  }
  EXPECT_GT(compared, 20);
}

TEST(GeometricMedian, UsesTheOriginalWeightsInEveryStep) {
  // Where the diagonals cross. Libraries that multiply the weights of all steps end at (0, 0).
  const Rows rows = {{0, 0}, {3, 3}, {1, 0}, {0, 1}};
  expect_near(run({.rule = GeometricMedian{1e-6, 1000, 1e-15}}, rows), {0.5, 0.5}, 1e-6);
}

TEST(GeometricMedian, OfEqualRowsIsThatRow) {
  for (const Start start : {Start::kZero, Start::kPrevious, Start::kMean}) {
    const Answer answer = run({.rule = GeometricMedian{1e-6, 5, 0, start}, .previous = {1.5f, -2}},
                              Rows(6, Vector{1.5, -2}));
    EXPECT_THAT(answer.values, ElementsAre(1.5, -2));
  }
  EXPECT_THAT(run({.rule = GeometricMedian{}}, Rows(3, Vector{0, 0})).values, Each(0.0));
}

TEST(GeometricMedian, IsNotHeldBackByZeroUpdatesUnlessItStartsThere) {
  Rows rows(20, Vector{5, 5});
  for (std::size_t i = 0; i < 20; ++i) rows[i][i % 2] += 0.25 * static_cast<double>(i % 5);
  for (std::size_t i = 16; i < 20; ++i) rows[i] = {0, 0};
  const Answer mean = run({.rule = GeometricMedian{}}, rows);
  EXPECT_LT(distance(mean.values, {5.25, 5.25}), 0.5);
  const Answer zero = run({.rule = GeometricMedian{1e-6, 8, 0, Start::kZero}}, rows);
  EXPECT_LT(distance(zero.values, {0, 0}), 1) << "docs/rules.md says why zero is not the default";
}

TEST(GeometricMedian, OfAMinorityFarAwayStaysWithTheMajority) {
  for (const double far : {1.0, 10.0, 60.0}) {
    Rows rows(9, Vector{1, 1, 1});
    for (std::size_t i = 5; i < 9; ++i) rows[i].assign(3, -far);
    const Answer answer = run({.rule = GeometricMedian{1e-6, 200, 1e-14}}, rows);
    EXPECT_LT(distance(answer.values, {1, 1, 1}), 1e-3) << far;
  }
}

TEST(GeometricMedian, ReadsTheCohortOnceAStep) {
  const Rows rows(5, Vector(8, 1.0));
  const Conditions conditions{.rule = median_from_zero(3), .chunk_coordinates = 2};
  EXPECT_EQ(run(conditions, rows).reads, (1u + 3) * 4);
}

TEST(CentredClipping, StartsAtThePreviousAggregate) {
  const Conditions conditions{.rule = CentredClipping{1, 1}, .previous = {10, 10}};
  // All rows are farther than tau: each pulls by a length of 1 along (-1, 0).
  expect_near(run(conditions, {{4, 10}, {0, 10}, {2, 10}}), {9, 10}, 1e-9);
  // At the start itself a row pulls nowhere, whatever tau / 0 is.
  expect_near(run(conditions, {{10, 10}, {10, 10}, {2, 10}}), {10 - 1.0 / 3, 10}, 1e-9);
  Conditions fresh = conditions;
  fresh.previous.clear();
  expect_near(run(fresh, {{4, 0}, {0, 0}, {0, 0}}), {1.0 / 3, 0}, 1e-9);
  EXPECT_THAT(run(fresh, Rows{{4, 0}}).outcome.chosen,
              HasSubstr("from the zero vector, 1 clipped in the last step"));
}

TEST(CentredClipping, MovesNoFartherThanTauAStep) {
  for (const std::uint32_t steps : {1u, 2u, 5u}) {
    const Answer answer =
        run({.rule = CentredClipping{0.5, steps}, .previous = {1, 1}}, Rows(9, Vector{60, -60}));
    EXPECT_LE(distance(answer.values, {1, 1}), 0.5 * steps + 1e-9);
    EXPECT_NEAR(distance(answer.values, {1, 1}), 0.5 * steps, 1e-9);
  }
}

TEST(CentredClipping, AnUpdateMovesItByNoMoreThanItsSensitivity) {
  // algorithms: L tau / n where a term is dropped, 2 L tau / n where it is replaced.
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  for (int trial = 0; trial < 200; ++trial) {
    const std::uint32_t steps = 1 + trial % 3;
    Rows rows(6, Vector(3));
    for (Vector& row : rows)
      for (double& x : row) x = static_cast<float>(3 * normal(random));
    const Conditions conditions{.rule = CentredClipping{1, steps}, .previous = {0.5f, 0, -1}};
    const Answer before = run_on(cpu_backend(), conditions, rows);
    for (double& x : rows[random() % 6]) x = static_cast<float>(20 * normal(random));
    for (Vector& row : rows)
      for (double& x : row) x = std::clamp(x, -60.0, 60.0);
    const Answer after = run_on(cpu_backend(), conditions, rows);
    EXPECT_LE(distance(before.values, after.values), 2.0 * steps / 6 + 1e-9);
  }
}

TEST(PreviousAggregate, IsCheckedLikeAnUpdate) {
  for (const float bad : {NAN, INFINITY, 65.0f}) {
    const Conditions conditions{.rule = CentredClipping{}, .previous = {0, bad}};
    EXPECT_EQ(run(conditions, {{1, 2}, {3, 4}}).status.reason(), "previous_out_of_bound");
  }
  // Rules that do not ask for it do not look at it.
  EXPECT_TRUE(run({.rule = Mean{}, .previous = {NAN, NAN}}, {{1, 2}}).status.ok());
}

TEST(Trusted, RulesRefuseWithoutTheTrustedUpdate) {
  for (const Rule& rule : {Rule(FlTrust{}), Rule(Monna{faulty(1)})}) {
    EXPECT_EQ(run({.rule = rule}, kSetA).status.reason(), "trusted_missing");
    Rows rows = kSetA;
    rows[3][1] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(run({.rule = rule, .trusted = 3}, rows).status.reason(), "trusted_invalid");
    EXPECT_TRUE(run({.rule = rule, .trusted = 4}, rows).status.ok());
  }
}

TEST(Trusted, InvalidRowsAreNeutral) {
  for (const Rule& rule : {Rule(FlTrust{}), Rule(Monna{faulty(1)})}) {
    SCOPED_TRACE(to_string(rule));
    const Answer clean = run({.rule = rule, .trusted = 2}, kSetA);
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity(), 1e38, -1e38})
      for (const std::size_t place : {0u, 4u, 7u}) {
        Rows rows = kSetA;
        rows.insert(rows.begin() + static_cast<std::ptrdiff_t>(place), Vector{1, bad, 0, 0});
        const Answer answer = run({.rule = rule, .trusted = place <= 2 ? 3u : 2u}, rows);
        EXPECT_EQ(answer.sum, clean.sum);
        EXPECT_EQ(answer.outcome.divisor, clean.outcome.divisor);
        EXPECT_EQ(answer.outcome.invalid, 1u);
      }
  }
}

TEST(FlTrust, ScoresDoNotDependOnTheUnit) {
  const Rows rows = with(kSetA, kTrusted);
  const Answer usual = run({.rule = FlTrust{}, .trusted = 7}, rows);
  for (const int exponent : {-120, -40, 3}) {
    Rows scaled = rows;
    for (double& x : scaled[7]) x = std::ldexp(x, exponent);
    const Answer answer = run({.rule = FlTrust{}, .value_bound = 64, .trusted = 7}, scaled);
    EXPECT_EQ(answer.outcome.divisor, usual.outcome.divisor);
  }
}

TEST(FlTrust, OfZeroNormsIsZeroOrLeftOut) {
  const Vector g = {1, 2};
  // Nobody agrees with the trusted update.
  const Answer none = run({.rule = FlTrust{}, .trusted = 2}, {{-1, -2}, {2, -1}, g});
  EXPECT_THAT(none.values, Each(0.0));
  EXPECT_THAT(none.outcome.chosen, HasSubstr("the zero vector"));
  // The trusted update is zero, or all others are.
  EXPECT_THAT(run({.rule = FlTrust{}, .trusted = 0}, {{0, 0}, g, g}).values, Each(0.0));
  EXPECT_THAT(run({.rule = FlTrust{}, .trusted = 2}, {{0, 0}, {0, 0}, g}).values, Each(0.0));
  expect_near(run({.rule = FlTrust{}, .trusted = 2}, {{0, 0}, {30, 60}, g}), g, 1e-9);
}

TEST(FlTrust, BringsTinyUpdatesToANormBeyondTheBound) {
  // |g| is 64 sqrt 50 > 64: what the grid was made for. The tiny update points along one axis.
  Rows rows(2, Vector(50));
  rows[0][7] = 1e-30;
  rows[1].assign(50, 64.0);
  const Answer answer = run({.rule = FlTrust{}, .trusted = 1}, rows);
  ASSERT_TRUE(answer.status.ok());
  for (std::size_t k = 0; k < 50; ++k)
    EXPECT_NEAR(answer.values[k], k == 7 ? 64 * std::sqrt(50.0) : 0, 1e-7);
}

TEST(Monna, AlwaysKeepsTheTrustedUpdateItself) {
  // Three duplicates with lower ranks are as near as it is to itself.
  const Answer answer = run({.rule = Monna{faulty(2)}, .ranks = {0, 1, 2, 9, 3}, .trusted = 3},
                            {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {5, 5}});
  EXPECT_EQ(answer.outcome.selected.rows(), (std::vector<std::uint32_t>{0, 1, 3}));
}

TEST(Caf, OfNoFaultyRowsIsTheMean) {
  // Some implementations return nothing here: their loop is never entered.
  const Answer answer = run({.rule = Caf{faulty(0)}}, kSetA);
  EXPECT_EQ(answer.sum, run({.rule = Mean{}}, kSetA).sum);
  EXPECT_EQ(answer.outcome.divisor, 7);
  EXPECT_THAT(run({.rule = Caf{faulty(2)}}, Rows(5, Vector{3, 4})).values, ElementsAre(3, 4));
}

TEST(Caf, ThrowsOutRowsThatStandTogetherFarAway) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  Rows rows(20, Vector(6));
  for (Vector& row : rows)
    for (double& x : row) x = static_cast<float>(normal(random));
  for (std::size_t i = 14; i < 20; ++i) rows[i].assign(6, 50);
  const Answer answer = run({.rule = Caf{faulty(6)}}, rows);
  EXPECT_LT(distance(answer.values, Vector(6)), 3);
}

TEST(SignMajority, CountsZerosForNobody) {
  const Rows rows = {{1, -1, 0, 1}, {-0.0, -5, 0, -1}, {0, 3, -0.0, 0}};
  const Answer answer = run({.rule = SignMajority{}}, rows);
  EXPECT_EQ(answer.sum, (std::vector<std::int64_t>{1, -1, 0, 0}));
  EXPECT_THAT(answer.values, ElementsAre(1, -1, 0, 0));
}

TEST(SignMajority, FoldsWhileUpdatesArrive) {
  kernels::Backend& backend = cpu_backend();
  const Conditions conditions{.rule = SignMajority{0.5}, .chunk_coordinates = 3};
  const Answer expected = run(conditions, kSetA);
  const Plan plan = plan_for(conditions, kSetA.size(), 4, backend);
  EXPECT_TRUE(plan.streaming);
  MemoryCohort cohort(plan, backend, kSetA);
  std::vector<std::int64_t> sum(4);
  RowFold fold(backend, plan, sum.data());
  for (const std::size_t row : {3, 1, 6, 0, 2, 5, 4}) fold.add(cohort.update(row), 1);
  const Outcome outcome = std::move(fold).finish().value();
  EXPECT_EQ(sum, expected.sum);
  EXPECT_EQ(outcome.divisor, expected.outcome.divisor);
  EXPECT_EQ(outcome.chosen, expected.outcome.chosen);
}

TEST(RowRules, ReadNoMoreThanTheyMust) {
  const auto reads = [](const Rule& rule) {
    return run({.rule = rule, .chunk_coordinates = 2, .trusted = 1}, Rows(5, Vector(8, 1.0)))
               .reads /
           4;
  };
  EXPECT_EQ(reads(Cge{faulty(1)}), 2u);
  EXPECT_EQ(reads(FlTrust{}), 3u);
  EXPECT_EQ(reads(Monna{faulty(1)}), 3u);
  EXPECT_EQ(reads(Caf{faulty(1)}), 3u);
  EXPECT_EQ(reads(clipping_from_zero(1, 2)), 3u);
  EXPECT_EQ(reads(SignMajority{}), 2u);
}

}  // namespace
}  // namespace muster::robust::testing
