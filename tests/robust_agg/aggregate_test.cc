#include "robust_agg/aggregate.h"

#include <gmock/gmock.h>

#include <limits>
#include <numeric>
#include <random>

#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

const Rule kEveryRule[] = {Mean{},
                           ClippedMean{2},
                           Median{},
                           TrimmedMean{faulty(1)},
                           Krum{faulty(1)},
                           MultiKrum{faulty(1)},
                           GeometricMedian{},
                           CentredClipping{},
                           Cge{faulty(1)},
                           Caf{faulty(1)},
                           SignMajority{},
                           Meamed{faulty(1)},
                           Phocas{faulty(1)},
                           Bulyan{faulty(0)},
                           Mda{faulty(1)}};
const Rows kHonest = {{1, 2, 3}, {1.5, 2, 2}, {0.5, 1, 3}, {1, 1, 2.5}, {2, 2, 3}, {1, 2.5, 2}};

TEST(Aggregate, LeavesOutInvalidRowsUnderEveryRule) {
  const Rows broken = {{kNaN, kNaN, kNaN}, {1, kNaN, 3},  {0, 0, kInfinity}, {-kInfinity, 1, 1},
                       {1e38, 1, 1},       {0, -1e38, 0}, {0, 0, 64.01},     {-1e30, 0, 1e30}};
  for (const Rule& rule : kEveryRule) {
    SCOPED_TRACE(to_string(rule));
    const Answer clean = run({.rule = rule}, kHonest);
    ASSERT_TRUE(clean.status.ok());
    for (const Vector& row : broken)
      for (const std::size_t place : {std::size_t{0}, std::size_t{3}, kHonest.size()}) {
        Rows rows = kHonest;
        rows.insert(rows.begin() + static_cast<std::ptrdiff_t>(place), row);
        const Answer answer = run({.rule = rule}, rows);
        ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
        EXPECT_EQ(answer.sum, clean.sum);
        EXPECT_EQ(answer.outcome.divisor, clean.outcome.divisor);
        EXPECT_EQ(answer.outcome.n, 6u);
        EXPECT_EQ(answer.outcome.invalid, 1u);
        EXPECT_THAT(answer.outcome.chosen, HasSubstr("1 invalid updates left out"));
        for (const std::uint32_t row_used : answer.outcome.selected.rows())
          EXPECT_NE(row_used, place);
      }
  }
}

TEST(Aggregate, TakesInvalidRowsAsZeroWhereAskedTo) {
  const Rows broken = {{kNaN, kNaN, kNaN}, {0, 0, kInfinity}, {1e38, 1, 1}, {0, 0, 64.01}};
  std::vector<std::pair<Rule, std::vector<PreStep>>> all;
  for (const Rule& rule : kEveryRule) all.push_back({rule, {}});
  all.push_back({Median{}, {Clipping{2}, NeighbourMixing{faulty(1)}}});
  all.push_back({Krum{faulty(1)}, {NeighbourMixing{faulty(1)}}});
  for (const auto& [rule, steps] : all)
    for (const Vector& row : broken) {
      SCOPED_TRACE(to_string(steps, rule));
      Rows rows = kHonest, zeroed = kHonest;
      rows.insert(rows.begin() + 2, row);
      zeroed.insert(zeroed.begin() + 2, Vector(3));
      const Answer expected = run({.rule = rule, .pre_steps = steps}, zeroed);
      const Answer answer = run({.rule = rule,
                                 .chunk_coordinates = 2,
                                 .pre_steps = steps,
                                 .invalid_updates = InvalidUpdates::kZero},
                                rows);
      ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
      EXPECT_EQ(answer.sum, expected.sum);
      EXPECT_EQ(answer.outcome.selected, expected.outcome.selected);
      EXPECT_EQ(answer.outcome.divisor, expected.outcome.divisor);
      EXPECT_EQ(answer.outcome.n, 7u);
      EXPECT_EQ(answer.outcome.invalid, 1u);
      EXPECT_THAT(answer.outcome.chosen, HasSubstr("1 invalid updates taken as zero"));
    }
}

TEST(RowFold, CountsTheWeightOfWhatIsTakenAsZero) {
  kernels::Backend& backend = cpu_backend();
  const Conditions conditions{
      .rule = Mean{}, .max_weight = 3, .invalid_updates = InvalidUpdates::kZero};
  const Plan plan = plan_for(conditions, 2, 1, backend);
  MemoryCohort cohort(plan, backend, {{kNaN}, {4}});
  std::int64_t sum = 0;
  RowFold fold(backend, plan, &sum);
  EXPECT_FALSE(fold.add(cohort.update(0), 3).valid);
  EXPECT_TRUE(fold.add(cohort.update(1), 1).valid);
  const Outcome outcome = std::move(fold).finish().value();
  EXPECT_EQ(outcome.n, 2u);
  EXPECT_EQ(outcome.invalid, 1u);
  EXPECT_EQ(outcome.divisor, 4);
  EXPECT_EQ(std::ldexp(static_cast<double>(sum), -plan.grid_bits), 4);
}

TEST(Aggregate, FindsAnInvalidRowInALaterChunk) {
  Rows rows(7, Vector(10, 1.0));
  rows[2][9] = kNaN;
  const Answer answer = run({.rule = Median{}, .chunk_coordinates = 4}, rows);
  EXPECT_EQ(answer.outcome.invalid, 1u);
  EXPECT_THAT(answer.values, ::testing::Each(1.0));
}

/// Rules whose kernel looks at the bound itself read a cohort once; again only where a row is
/// invalid, wherever that shows: so many rows that they are searched, and so few that they are
/// sorted.
TEST(Aggregate, ReadsValidRowsOnce) {
  std::mt19937 random(5);
  for (const std::size_t n : {9u, 150u}) {
    Rows rows(n, Vector(700));
    for (Vector& row : rows)
      for (double& value : row) value = std::normal_distribution<double>()(random);
    const auto f = static_cast<std::uint32_t>(n / 5);
    for (const Rule& rule : {Rule(Median{}), Rule(TrimmedMean{faulty(f)})}) {
      const Conditions conditions{.rule = rule, .chunk_coordinates = 256};
      const Answer clean = run(conditions, rows);
      ASSERT_TRUE(clean.status.ok());
      EXPECT_EQ(run_on(cpu_backend(), conditions, rows).reads, 3u);
      for (const double bad : {kNaN, kInfinity, -64.01, 1e38})
        for (const std::size_t at : {0u, 255u, 256u, 699u}) {
          Rows broken = rows;
          broken.insert(broken.begin() + static_cast<std::ptrdiff_t>(at % n), Vector(700));
          broken[at % n][at] = bad;
          const Answer answer = run(conditions, broken);
          ASSERT_TRUE(answer.status.ok());
          EXPECT_EQ(answer.sum, clean.sum) << bad << " at " << at;
          EXPECT_EQ(answer.outcome.n, n);
          EXPECT_EQ(answer.outcome.invalid, 1u);
          EXPECT_EQ(run_on(cpu_backend(), conditions, broken).reads, at / 256 + 1 + 6);
        }
      // The bound itself is within.
      Rows widest = rows;
      widest[1][300] = 64;
      EXPECT_EQ(run(conditions, widest).outcome.n, n);
      EXPECT_EQ(run_on(cpu_backend(), conditions, widest).reads, 3u);
    }
  }
}

TEST(Aggregate, NeverTrimsLessThanItWasTold) {
  const Rows rows(8, Vector{1, 2});
  for (const std::uint32_t f : {4u, 5u, 100u}) {
    const Answer answer = run({.rule = TrimmedMean{faulty(f)}}, rows);
    EXPECT_EQ(answer.status.reason(), "cohort_too_small");
    EXPECT_EQ(answer.status.code(), Code::kInvalid);
  }
  EXPECT_TRUE(run({.rule = TrimmedMean{faulty(3)}}, rows).status.ok());
  EXPECT_EQ(run({.rule = TrimmedMean{faulty(3)}}, rows).outcome.divisor, 2);
}

TEST(Aggregate, ChecksTheCohortAgainWithoutInvalidRows) {
  Rows rows(9, Vector{1, 2});
  EXPECT_TRUE(run({.rule = Krum{faulty(3)}}, rows).status.ok());
  rows[4] = {kNaN, 0};
  const Answer answer = run({.rule = Krum{faulty(3)}}, rows);
  EXPECT_EQ(answer.status.to_string(),
            "cohort_too_small: krum(f=3, neighbours=n-f-2) with f = 3 needs 9 valid updates; 8 of "
            "9 are valid");
  // A share follows the realised cohort: a third of 8 is 2, and Krum needs 7.
  EXPECT_EQ(run({.rule = Krum{{std::nullopt, 0.3334}}}, rows).outcome.f, 2u);
}

TEST(Aggregate, RefusesACohortWithoutValidRows) {
  for (const Rule& rule : kEveryRule)
    EXPECT_EQ(run({.rule = rule}, Rows(5, Vector{kNaN, 1})).status.reason(), "cohort_too_small")
        << to_string(rule);
}

TEST(Aggregate, MultiKrumNeedsAsManyRowsAsItAverages) {
  const Rows rows(7, Vector{1});
  EXPECT_TRUE(run({.rule = MultiKrum{faulty(1), 7}}, rows).status.ok());
  EXPECT_EQ(run({.rule = MultiKrum{faulty(1), 8}}, rows).status.reason(), "cohort_too_small");
}

TEST(Aggregate, MeanWeighsAndBoundsWeights) {
  const Rows rows = {{1, 8}, {3, 0}, {5, 2}};
  const Answer weighted = run({.rule = Mean{}, .max_weight = 10, .weights = {1, 2, 5}}, rows);
  EXPECT_THAT(weighted.values, ElementsAre(4, 2.25));
  EXPECT_EQ(weighted.outcome.divisor, 8);
  // 1000 counts as 10, 0 as 1.
  const Answer bounded = run({.rule = Mean{}, .max_weight = 10, .weights = {0, 1000, 5}}, rows);
  EXPECT_THAT(bounded.values, ElementsAre(3.5, 1.125));
  EXPECT_EQ(bounded.outcome.divisor, 16);
}

TEST(Aggregate, ClippedMeanWeighsClippedUpdates) {
  const Answer answer =
      run({.rule = ClippedMean{5}, .max_weight = 4, .weights = {1, 3}}, {{3, 4}, {-30, 40}});
  EXPECT_NEAR(answer.values[0], (3 - 3 * 3) / 4.0, answer.resolution);
  EXPECT_NEAR(answer.values[1], (4 + 3 * 4) / 4.0, answer.resolution);
}

TEST(Aggregate, OrderRulesAndDistanceRulesIgnoreWeights) {
  for (const Rule& rule : kEveryRule) {
    if (uses_weights(rule)) continue;
    EXPECT_EQ(run({.rule = rule}, kHonest).values,
              run({.rule = rule, .max_weight = 9, .weights = {1, 9, 1, 2, 9, 3}}, kHonest).values)
        << to_string(rule);
  }
}

TEST(Aggregate, ZeroUpdatesAreClippedByAFactorOfOne) {
  const Answer answer = run({.rule = ClippedMean{1e-6}}, {{0, 0}, {-0.0, 0}, {0, 0}});
  ASSERT_TRUE(answer.status.ok());
  EXPECT_THAT(answer.values, ElementsAre(0, 0));
  EXPECT_EQ(answer.outcome.invalid, 0u);
}

TEST(Aggregate, ReadsEachChunkNoMoreThanItMust) {
  const Rows rows(7, Vector(8, 1.0));
  EXPECT_EQ(run({.rule = Median{}, .chunk_coordinates = 2}, rows).reads, 2u * 4);
  EXPECT_EQ(run({.rule = Krum{faulty(1)}, .format = {Codec::kI8S, 0}, .chunk_coordinates = 2}, rows)
                .reads,
            3u * 4);
}

TEST(Aggregate, SumsAtTheEdgeOfTheGrid) {
  // 2^10 rows of weight 2^10 at the bound of 16 leave g = 38, and the sum at 2^62.
  const Rows rows(1024, Vector{16, -16});
  const Answer answer = run_on(cpu_backend(),
                               {.rule = Mean{},
                                .max_weight = 1u << 14,
                                .value_bound = 16,
                                .weights = std::vector<std::uint32_t>(1024, 1u << 14)},
                               rows);
  EXPECT_EQ(answer.sum,
            (std::vector<std::int64_t>{std::int64_t{1} << 62, -(std::int64_t{1} << 62)}));
  EXPECT_THAT(answer.values, ElementsAre(16, -16));
}

TEST(RowFold, AnyOrderGivesWhatAggregateGives) {
  Rows rows = kHonest;
  rows.insert(rows.begin() + 2, {1, kNaN, 1e38});
  for (const Rule& rule : {Rule(Mean{}), Rule(ClippedMean{2})}) {
    const Conditions conditions{
        .rule = rule, .chunk_coordinates = 2, .max_weight = 5, .weights = {1, 2, 5, 3, 4, 5, 1}};
    const Answer expected = run(conditions, rows);
    kernels::Backend& backend = cpu_backend();
    const Plan plan = plan_for(conditions, rows.size(), 3, backend);
    MemoryCohort cohort(plan, backend, rows, conditions.weights);
    for (const auto& order :
         {std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6}, {6, 2, 4, 0, 5, 1, 3}}) {
      std::vector<std::int64_t> sum(3);
      RowFold fold(backend, plan, sum.data());
      for (const std::size_t row : order) {
        const RowFold::Added added = fold.add(cohort.update(row), conditions.weights[row]);
        EXPECT_EQ(added.valid, row != 2);
        EXPECT_EQ(added.non_finite, row == 2 ? 1u : 0u);
        EXPECT_EQ(added.out_of_bound, row == 2 ? 1u : 0u);
        if (row == 0) {
          EXPECT_DOUBLE_EQ(added.norm, rule.index() == 0 ? 0 : std::sqrt(14.0));
        }
      }
      const Outcome outcome = std::move(fold).finish().value();
      EXPECT_EQ(sum, expected.sum);
      EXPECT_EQ(outcome.divisor, expected.outcome.divisor);
      EXPECT_EQ(outcome.n, 6u);
      EXPECT_EQ(outcome.invalid, 1u);
    }
    // All of them in one call.
    std::vector<std::vector<const std::byte*>> addresses;
    std::vector<kernels::Codes> chunks;
    for (std::uint32_t c = 0; c < plan.chunk_count; ++c) {
      chunks.push_back(cohort.chunk(c).value());
      addresses.emplace_back(chunks[c].rows.begin(), chunks[c].rows.end());
    }
    for (std::uint32_t c = 0; c < plan.chunk_count; ++c) chunks[c].rows = addresses[c];
    std::vector<std::int64_t> sum(3);
    RowFold fold(backend, plan, sum.data());
    const auto added = fold.add(chunks, conditions.weights);
    ASSERT_EQ(added.size(), rows.size());
    for (std::size_t row = 0; row < rows.size(); ++row) EXPECT_EQ(added[row].valid, row != 2);
    EXPECT_EQ(std::move(fold).finish().value().divisor, expected.outcome.divisor);
    EXPECT_EQ(sum, expected.sum);
  }
}

// What the counters give must be what the codes give, whatever the order and the batches.
TEST(RowFold, HistogramsGiveTheOrderStatisticsOfTheCodes) {
  std::mt19937 random(20'261'124);
  constexpr std::size_t kRows = 1100, kDimension = 70;
  Rows rows(kRows, Vector(kDimension));
  for (Vector& row : rows)
    for (double& x : row) x = static_cast<double>(static_cast<int>(random() % 255) - 127) / 8;
  for (const Rule& rule :
       {Rule(Median{}), Rule(TrimmedMean{faulty(200)}), Rule(TrimmedMean{{std::nullopt, 0.1}})}) {
    SCOPED_TRACE(to_string(rule));
    const Conditions conditions{.rule = rule, .format = {Codec::kI8S, 5}, .chunk_coordinates = 32};
    const Answer expected = run(conditions, rows);
    kernels::Backend& backend = cpu_backend();
    PlanRequest request;
    request.rule = rule;
    request.dimension = kDimension;
    request.chunk_coordinates = 32;
    request.format = conditions.format;
    request.max_updates = kRows;
    request.minimum_cohort = 500;
    request.value_bound = conditions.value_bound;
    const Plan plan = make_plan(request, backend).value();
    ASSERT_TRUE(plan.counting && plan.streaming);
    EXPECT_THAT(plan.describe(), HasSubstr("histograms"));
    MemoryCohort cohort(plan, backend, rows, {});
    std::vector<std::int64_t> sum(kDimension);
    const kernels::Buffer counters = backend.allocate(plan.counter_bytes).value();
    RowFold fold(backend, plan, sum.data(), nullptr, counters.as<std::uint32_t>());
    std::vector<std::size_t> order(kRows);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t row : order) EXPECT_TRUE(fold.add(cohort.update(row), 1).valid);
    const auto outcome = std::move(fold).finish();
    backend.release(counters);
    ASSERT_TRUE(outcome.ok()) << outcome.status().to_string();
    EXPECT_EQ(outcome->divisor, expected.outcome.divisor);
    EXPECT_THAT(outcome->chosen, HasSubstr("from histograms"));
    for (std::size_t k = 0; k < kDimension; ++k)
      ASSERT_EQ(std::ldexp(static_cast<double>(sum[k]), -plan.grid_bits) / outcome->divisor,
                expected.values[k]);
  }
}

TEST(RowFold, RefusesToFinishWithoutAValidUpdate) {
  kernels::Backend& backend = cpu_backend();
  const Conditions conditions{.rule = Mean{}};
  const Plan plan = plan_for(conditions, 2, 1, backend);
  MemoryCohort cohort(plan, backend, {{kNaN}, {1}});
  std::int64_t sum = 0;
  RowFold fold(backend, plan, &sum);
  EXPECT_FALSE(fold.add(cohort.update(0), 1).valid);
  EXPECT_EQ(std::move(fold).finish().status().reason(), "cohort_too_small");
  EXPECT_EQ(sum, 0);
}

TEST(RowFoldDeathTest, MoreUpdatesThanTheGridWasMadeForAreABug) {
  kernels::Backend& backend = cpu_backend();
  const Conditions conditions{.rule = Mean{}};
  const Plan plan = plan_for(conditions, 1, 1, backend);
  MemoryCohort cohort(plan, backend, {{1}});
  std::int64_t sum = 0;
  RowFold fold(backend, plan, &sum);
  fold.add(cohort.update(0), 1);
  EXPECT_DEATH(fold.add(cohort.update(0), 1), "max_updates");
}

}  // namespace
}  // namespace muster::robust::testing
