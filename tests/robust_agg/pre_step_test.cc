#include "robust_agg/pre_step.h"

#include <gmock/gmock.h>

#include <random>

#include "robust_agg/cloud.h"
#include "robust_agg/coefficients.h"
#include "tests/robust_agg/rule_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Rows kSetA = {{4, -2, 1, 0}, {5, -1, 0, 2}, {3, -3, 2, 1},  {4, -1, 1, 1},
                    {6, -2, 0, 0}, {2, -2, 3, 2}, {-9, 8, -7, 30}};

Cloud cloud_of(const Rows& rows) {
  Cloud cloud{static_cast<std::uint32_t>(rows.size()), {}, {}};
  for (const Vector& a : rows) {
    cloud.squared_norms.push_back(squared_distance(a, Vector(a.size())));
    for (const Vector& b : rows) cloud.distances.push_back(squared_distance(a, b));
  }
  return cloud;
}

void expect_cloud(const Cloud& cloud, const Rows& rows, double tolerance) {
  const Cloud expected = cloud_of(rows);
  ASSERT_EQ(cloud.n, expected.n);
  for (std::size_t k = 0; k < expected.distances.size(); ++k)
    EXPECT_NEAR(cloud.distances[k], expected.distances[k], tolerance);
  for (std::size_t k = 0; k < cloud.n; ++k)
    EXPECT_NEAR(cloud.squared_norms[k], expected.squared_norms[k], tolerance);
}

Vector combined(const Rows& rows, const std::vector<double>& coefficients) {
  Vector sum(rows[0].size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += coefficients[i] * rows[i][k];
  return sum;
}

std::string refusal(const std::vector<std::string>& texts, const Rule& rule) {
  const auto steps = parse_pre_steps(texts, rule);
  return steps.ok() ? "accepted: " + to_string(*steps, rule) : steps.status().to_string();
}

TEST(PreSteps, AreReadInTheirOrder) {
  EXPECT_EQ(refusal({}, Median{}), "accepted: median");
  EXPECT_EQ(refusal({"clipping(clip_norm=2.5)", "bucketing(s=2)", "nnm"}, Krum{faulty(3)}),
            "accepted: clipping(clip_norm=2.5), bucketing(s=2), nnm(f=3), then krum(f=3, "
            "neighbours=n-f-2)");
  EXPECT_EQ(refusal({"arc(f=4)", "nnm(byzantine_share=0.25)"}, Median{}),
            "accepted: arc(f=4), nnm(byzantine_share=0.25), then median");
}

TEST(PreSteps, RefusalsSayWhy) {
  EXPECT_EQ(refusal({"nnm"}, Median{}),
            "pre_step: nnm needs f or byzantine_share, for median has none: write nnm(f=...)");
  EXPECT_EQ(
      refusal({"nnm", "bucketing(s=2)"}, Krum{faulty(1)}),
      "pre_step: pre_steps go in the order clipping or arc, bucketing, nnm, each once at most; "
      "bucketing comes after nnm");
  EXPECT_THAT(refusal({"clipping(clip_norm=1)", "arc"}, Krum{faulty(1)}),
              HasSubstr("arc comes after clipping"));
  EXPECT_THAT(refusal({"nnm", "nnm"}, Krum{faulty(1)}), HasSubstr("each once at most"));
  EXPECT_EQ(refusal({"bucketing(s=2)"}, ClippedMean{1}),
            "pre_step: clipped_mean takes no pre-steps: write clipping before mean");
  EXPECT_EQ(
      refusal({"mixing"}, Median{}),
      "pre_step: there is no pre-step \"mixing\"; there are clipping, arc, bucketing and nnm");
  EXPECT_THAT(refusal({"bucketing"}, Median{}), HasSubstr("bucketing needs s and nothing else"));
  EXPECT_THAT(refusal({"bucketing(size=2)"}, Median{}), HasSubstr("needs s"));
  EXPECT_THAT(refusal({"bucketing(s=two)"}, Median{}),
              HasSubstr("must be a number, it is \"two\""));
  EXPECT_THAT(refusal({"bucketing(s=-1)"}, Median{}), HasSubstr("must be a number"));
  EXPECT_THAT(refusal({"bucketing(s=0)"}, Median{}), HasSubstr("s must be in [1,"));
  EXPECT_THAT(refusal({"bucketing(s=2"}, Median{}), HasSubstr("name(key=value)"));
  EXPECT_THAT(refusal({"nnm(byzantine_share=0.5)"}, Median{}), HasSubstr("[0, 0.5)"));
  EXPECT_THAT(refusal({"nnm(s=2)"}, Median{}), HasSubstr("takes f or byzantine_share"));
  for (const char* norm : {"0", "-1", "nan", "inf", ""})
    EXPECT_THAT(refusal({"clipping(clip_norm=" + std::string(norm) + ")"}, Median{}),
                HasSubstr("clip_norm must be a"));
  EXPECT_LT(refusal({std::string(100'000, 'x')}, Median{}).size(), 300u);
}

TEST(PreSteps, RaiseTheCohortTheRuleNeeds) {
  const auto needed = [](std::vector<PreStep> steps, const Rule& rule, std::uint32_t n) {
    return minimum_cohort(steps, rule, n);
  };
  // 5 faulty among 13 buckets: 13 = 2 * 5 + 3, so 25 updates fill them.
  EXPECT_EQ(needed({Bucketing{2}}, Krum{faulty(5)}, 25), 25u);
  EXPECT_EQ(needed({Bucketing{3}}, TrimmedMean{faulty(2)}, 25), 13u);
  EXPECT_EQ(needed({NeighbourMixing{faulty(5)}}, Median{}, 25), 11u);
  EXPECT_EQ(needed({Bucketing{2}, NeighbourMixing{{std::nullopt, 0.2}}}, Median{}, 25), 21u);
  EXPECT_EQ(rows_after(std::vector<PreStep>{Bucketing{2}}, 25), 13u);
  const Answer answer =
      run({.rule = Krum{faulty(1)}, .pre_steps = {Bucketing{2}}}, Rows(8, Vector{1}));
  EXPECT_EQ(answer.status.to_string(),
            "cohort_too_small: bucketing(s=2), then krum(f=1, neighbours=n-f-2) with f = 1 needs 9 "
            "valid updates; 8 of 8 are valid");
}

TEST(PreSteps, LeaveNoSensitivityButThatOfClipping) {
  const auto text = [](std::vector<PreStep> steps, const Rule& rule) {
    return std::string(sensitivity(steps, rule));
  };
  EXPECT_EQ(text({Clipping{1}}, TrimmedMean{}), sensitivity(TrimmedMean{}));
  EXPECT_THAT(text({Bucketing{2}}, TrimmedMean{}), HasSubstr("C / (s (n_b - 2f))"));
  EXPECT_THAT(text({Clipping{1}, Bucketing{2}}, Krum{}), HasSubstr("none"));
  EXPECT_THAT(text({AdaptiveClipping{}}, TrimmedMean{}), HasSubstr("none"));
  EXPECT_THAT(text({NeighbourMixing{}}, TrimmedMean{}), HasSubstr("none"));
}

TEST(Cloud, NearestNeighboursOfTheGoldenSet) {
  const Mixing mixing = nearest_neighbours(cloud_of(kSetA), 1);
  const auto last = mixing.row(6);
  const Vector mean = mean_of_rows(chosen(kSetA, {last.begin(), last.end()}));
  const Vector expected = {1.5, -1.0 / 6, 0, 6};
  for (std::size_t k = 0; k < 4; ++k) EXPECT_DOUBLE_EQ(mean[k], expected[k]);
  const Rows byzfl = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  EXPECT_THAT(nearest_neighbours(cloud_of(byzfl), 1).members, ElementsAre(0, 1, 0, 1, 1, 2));
}

TEST(Cloud, AdaptiveThresholdOfTheGoldenSet) {
  const std::vector<double> factors = adaptive_factors(cloud_of(kSetA).squared_norms, 1);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(factors[i], 1);
  EXPECT_DOUBLE_EQ(factors[6], std::sqrt(40.0) / norm(kSetA[6]));
  // Nothing but zeros, and one that is not: its norm is brought to 0, and 0 / 0 never happens.
  EXPECT_THAT(adaptive_factors(std::vector<double>{0, 0, 9, 0}, 1), ElementsAre(1, 1, 0, 1));
}

TEST(Cloud, FollowsTheRowsThroughEveryStep) {
  std::mt19937_64 random(21);
  std::normal_distribution<double> normal;
  for (int trial = 0; trial < 20; ++trial) {
    Rows rows(5 + random() % 9, Vector(1 + random() % 6));
    for (Vector& row : rows)
      for (double& x : row) x = normal(random);
    rows[1] = rows[0];
    rows[2] = Vector(rows[0].size());
    std::vector<double> factors;
    Rows clipped = rows;
    for (Vector& row : clipped) {
      factors.push_back(clip_factor(norm(row), 1));
      for (double& x : row) x *= factors.back();
    }
    const Cloud after_clipping = scaled(cloud_of(rows), factors);
    expect_cloud(after_clipping, clipped, 1e-12);
    const auto n = static_cast<std::uint32_t>(rows.size());
    expect_cloud(mixed(after_clipping, buckets(n, 2)), after_step(Bucketing{2}, clipped, n), 1e-12);
    const Mixing mixing = nearest_neighbours(cloud_of(rows), 2);
    expect_cloud(mixed(cloud_of(rows), mixing), nnm_rows(rows, 2), 1e-12);
    EXPECT_EQ(mixed(cloud_of(rows), mixing).distance(0, 1), 0) << "equal rows stay equal";
  }
}

TEST(Coefficients, GeometricMedianOfTheGoldenSets) {
  const auto near = [](const Rows& rows, const GeometricMedian& rule, const Vector& expected,
                       double slack) {
    const Vector result = combined(rows, geometric_median_coefficients(cloud_of(rows), rule));
    for (std::size_t k = 0; k < expected.size(); ++k) EXPECT_NEAR(result[k], expected[k], slack);
  };
  near(kSetA, {0.1, 1, 0, Start::kZero}, {3.567019, -1.593819, 1.050103, 1.723718}, 5e-7);
  near(kSetA, {0.1, 3, 0, Start::kZero}, {3.909778, -1.563526, 1.025850, 1.163790}, 5e-7);
  near(kSetA, {0.1, 8, 0, Start::kZero}, {3.956624, -1.489955, 0.992961, 1.122049}, 5e-7);
  const Vector converged = {3.957757, -1.486112, 0.992136, 1.121905};
  near(kSetA, {1e-6, 1000, 1e-15, Start::kZero}, converged, 5e-6);
  near(kSetA, {1e-6, 1000, 1e-15, Start::kMean}, converged, 5e-6);
  near({{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}, {0.1, 3, 0, Start::kZero},
       {3.78788764, 4.78788764, 5.78788764}, 5e-9);
}

TEST(Coefficients, CentredClippingOfTheGoldenSet) {
  const Vector expected[] = {{2.538265, -1.134150, 0.747246, 1.226586},
                             {3.592790, -1.576396, 0.973542, 1.527103},
                             {3.727246, -1.633446, 1.003209, 1.560478}};
  for (std::uint32_t steps = 1; steps <= 3; ++steps) {
    const Vector result =
        combined(kSetA, centred_clipping_coefficients(cloud_of(kSetA), {4, steps, Start::kZero}));
    for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(result[k], expected[steps - 1][k], 5e-7);
  }
}

TEST(PreSteps, IteratedRulesStartWhereTheyAreTold) {
  std::mt19937_64 random(23);
  std::normal_distribution<double> normal;
  Rows rows(12, Vector(40));
  for (Vector& row : rows)
    for (double& x : row) x = static_cast<float>(normal(random));
  std::vector<float> previous;
  for (std::size_t k = 0; k < 40; ++k) previous.push_back(static_cast<float>(normal(random)));
  const Vector start(previous.begin(), previous.end());
  for (const auto& steps : {std::vector<PreStep>{NeighbourMixing{faulty(2)}},
                            {Bucketing{2}, NeighbourMixing{faulty(1)}}}) {
    Rows mixed = rows;
    for (const PreStep& step : steps) mixed = after_step(step, mixed, 12);
    for (const auto& [rule, expected] :
         {std::pair<Rule, Vector>{
              CentredClipping{3, 3, Start::kPrevious},
              reference_centred_clipping(mixed, Vector(mixed.size(), 1.0), 3, 3, start)},
          {GeometricMedian{0.1, 4, 0, Start::kPrevious},
           reference_geometric_median(mixed, Vector(mixed.size(), 1.0), 0.1, 4, start)}}) {
      SCOPED_TRACE(to_string(steps, rule));
      const Answer answer = run(
          {.rule = rule, .chunk_coordinates = 16, .previous = previous, .pre_steps = steps}, rows);
      ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
      for (std::size_t k = 0; k < 40; ++k)
        EXPECT_NEAR(answer.values[k], expected[k], 8 * answer.resolution) << "coordinate " << k;
      // Without a previous aggregate the start is zero.
      EXPECT_TRUE(run({.rule = rule, .pre_steps = steps}, rows).status.ok());
    }
  }
}

TEST(PreSteps, EveryRuleBehindEveryChainFollowsTheDefinitions) {
  std::mt19937_64 random(22);
  std::normal_distribution<double> normal;
  const PreStep clipping = Clipping{4}, arc = AdaptiveClipping{faulty(2)}, buckets = Bucketing{2},
                mixing = NeighbourMixing{faulty(5)};
  // Five of 23: of fewer, many mixed rows would lie as far from each other as others do.
  const std::vector<PreStep> chains[] = {
      {clipping},         {arc},          {buckets},         {mixing},
      {clipping, mixing}, {arc, buckets}, {buckets, mixing}, {arc, buckets, mixing}};
  const Rule rules[] = {Mean{},
                        Median{},
                        TrimmedMean{faulty(2)},
                        Meamed{faulty(2)},
                        Phocas{faulty(2)},
                        Krum{faulty(2)},
                        MultiKrum{faulty(2), 4},
                        Bulyan{faulty(2)},
                        Mda{faulty(2)},
                        GeometricMedian{0.1, 20},
                        CentredClipping{3, 3, Start::kZero}};
  for (const auto& chain : chains)
    for (const Rule& rule : rules) {
      SCOPED_TRACE(to_string(chain, rule));
      Rows rows(23, Vector(30));
      for (Vector& row : rows)
        for (double& x : row) x = static_cast<float>(normal(random));
      rows[5] = Vector(30, 8);
      for (double& x : rows[17]) x /= 8;  // no zeros: clipped rows would all be as far from them
      const Answer answer = run({.rule = rule, .chunk_coordinates = 16, .pre_steps = chain}, rows);
      ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
      const Vector expected = reference_result(chain, rule, rows);
      for (std::size_t k = 0; k < expected.size(); ++k)
        EXPECT_NEAR(answer.values[k], expected[k], 3 * answer.resolution) << "coordinate " << k;
    }
}

TEST(PreSteps, BucketsAreFilledInRankOrder) {
  // Ranks put rows 3 and 0 together, 2 and 1, and leave 4 alone.
  const Answer answer =
      run({.rule = Median{}, .ranks = {2, 7, 5, 1, 9}, .pre_steps = {Bucketing{2}}},
          {{0}, {10}, {20}, {4}, {50}});
  EXPECT_THAT(answer.values, ElementsAre(15));
  EXPECT_THAT(answer.outcome.chosen,
              HasSubstr("bucketing(s=2), then median of 5 updates, f=0, 3 rows after"));
}

TEST(PreSteps, UpdatesBehindDistanceRulesAreNamed) {
  // Krum on buckets of two: the updates of the winning bucket.
  const Answer answer = run({.rule = Krum{faulty(0)}, .pre_steps = {Bucketing{2}}},
                            {{0}, {2}, {1}, {1}, {9}, {9}, {1}});
  EXPECT_THAT(answer.values, ElementsAre(1));
  EXPECT_THAT(answer.outcome.selected.rows(), ElementsAre(0, 1));
}

}  // namespace
}  // namespace muster::robust::testing
