// Faults of published implementations that Muster must not have. The numbers are those of the list
// that was kept while reading them; what other projects do is computed here beside what Muster
// does.
#include <gmock/gmock.h>

#include <limits>
#include <random>

#include "tests/robust_agg/rule_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

const Rule kBoundedRules[] = {TrimmedMean{faulty(1)}, Meamed{faulty(1)},    Phocas{faulty(1)},
                              Krum{faulty(1)},        MultiKrum{faulty(1)}, Bulyan{faulty(1)},
                              Mda{faulty(1)}};

Rows gaussian(std::size_t n, std::size_t d, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Rows rows(n, Vector(d));
  for (Vector& row : rows)
    for (double& x : row) x = static_cast<float>(normal(random));
  return rows;
}

std::vector<std::uint32_t> ascending(std::vector<std::uint32_t> rows) {
  std::sort(rows.begin(), rows.end());
  return rows;
}

TEST(Defect1, ANaNWinsNoArgminAndMixesIntoNothing) {
  std::mt19937_64 random(31);
  const Rows honest = gaussian(9, 5, random);
  for (const Rule& rule : kBoundedRules)
    for (const std::vector<PreStep>& steps :
         {std::vector<PreStep>{}, {NeighbourMixing{faulty(1)}}, {AdaptiveClipping{faulty(1)}}}) {
      SCOPED_TRACE(to_string(steps, rule));
      Rows rows = honest;
      rows.insert(rows.begin(), Vector(5, kNaN));
      const Answer answer = run_on(cpu_backend(), {.rule = rule, .pre_steps = steps}, rows);
      const Answer clean = run_on(cpu_backend(), {.rule = rule, .pre_steps = steps}, honest);
      EXPECT_EQ(answer.values, clean.values);
      EXPECT_EQ(answer.outcome.invalid, 1u);
    }
}

TEST(Defect2, DistancesSurviveALargeCommonPart) {
  // Weights, not deltas: |x|^2 is 1e6 times the squared distances. In f32 the expansion
  // G_ii + G_jj - 2 G_ij is noise there.
  std::mt19937_64 random(32);
  int misled = 0;
  for (int trial = 0; trial < 10; ++trial) {
    Rows rows = gaussian(11, 400, random);
    const Vector common = gaussian(1, 400, random)[0];
    for (Vector& row : rows)
      for (std::size_t k = 0; k < 400; ++k)
        row[k] = static_cast<float>(8 * common[k] + 1e-3 * row[k]);
    const auto selected =
        run_on(cpu_backend(), {.rule = Krum{faulty(2)}}, rows).outcome.selected.rows();
    EXPECT_EQ(selected[0], krum_order(rows, 7)[0]);

    std::vector<float> gram(11 * 11);
    for (std::size_t i = 0; i < 11; ++i)
      for (std::size_t j = 0; j < 11; ++j)
        for (std::size_t k = 0; k < 400; ++k)
          gram[i * 11 + j] += static_cast<float>(rows[i][k]) * static_cast<float>(rows[j][k]);
    std::vector<float> scores;
    for (std::size_t i = 0; i < 11; ++i) {
      std::vector<float> distances;
      for (std::size_t j = 0; j < 11; ++j)
        if (j != i) distances.push_back(gram[i * 12] + gram[j * 12] - 2 * gram[i * 11 + j]);
      std::sort(distances.begin(), distances.end());
      scores.push_back(std::accumulate(distances.begin(), distances.begin() + 7, 0.0f));
    }
    misled += std::min_element(scores.begin(), scores.end()) - scores.begin() != selected[0];
  }
  EXPECT_GT(misled, 0) << "f32 is good enough here: the test proves nothing";
}

TEST(Defect3, ARowIsItsOwnNeighbourOnlyByName) {
  // Three copies: whichever index a sort puts first, a row scores over the others and mixes with
  // itself. "Drop the nearest, it must be self" would do neither.
  const Rows rows = {{1, 1}, {1, 1}, {1, 1}, {5, 0}, {0, 6}, {7, 7}};
  for (const Rule& rule : {Rule(Krum{faulty(1)}), Rule(MultiKrum{faulty(1), 3})})
    EXPECT_EQ(run({.rule = rule}, rows).values, (Vector{1, 1}));
  const Answer mixed =
      run({.rule = Mean{}, .pre_steps = {NeighbourMixing{faulty(4)}}}, Rows(9, {2, 3}));
  EXPECT_EQ(mixed.values, (Vector{2, 3}));
  // With f = n / 2 every mean is of a row and one neighbour at most; a row that lost itself would
  // show: the lone row is its own first neighbour.
  const Answer lone =
      run({.rule = Mean{}, .pre_steps = {NeighbourMixing{faulty(1)}}}, {{0, 0}, {0, 0}, {9, 9}});
  EXPECT_NEAR(lone.values[0], (0 + 0 + 4.5) / 3, lone.resolution);
}

TEST(Defect4, DistancesAreSquaredOnce) {
  std::mt19937_64 random(34);
  int differs = 0;
  for (int trial = 0; trial < 50; ++trial) {
    const Rows rows = gaussian(11, 2, random);
    const Rule rule = Bulyan{faulty(2)};
    const auto ours = run_on(cpu_backend(), {.rule = rule}, rows).outcome.selected.rows();
    EXPECT_EQ(ours, ascending(bulyan_order(rows, 2)));
    // The winner by fourth powers.
    Vector scores;
    for (std::size_t i = 0; i < 11; ++i) {
      Vector fourth;
      for (std::size_t j = 0; j < 11; ++j)
        if (j != i) fourth.push_back(std::pow(squared_distance(rows[i], rows[j]), 2));
      std::sort(fourth.begin(), fourth.end());
      scores.push_back(std::accumulate(fourth.begin(), fourth.begin() + 7, 0.0));
    }
    differs +=
        std::min_element(scores.begin(), scores.end()) - scores.begin() != bulyan_order(rows, 2)[0];
  }
  EXPECT_GT(differs, 0);
}

TEST(Defect7, HalfIsNoShareToTrim) {
  for (const char* rule : {"trimmed_mean", "meamed", "phocas", "krum", "bulyan", "mda"}) {
    EXPECT_EQ(parse_rule(rule, {.byzantine_share = 0.5}).status().reason(), "rule_parameter");
    EXPECT_TRUE(parse_rule(rule, {.byzantine_share = 0.49}).ok());
  }
}

TEST(Defect8, NothingIsTrimmedLessThanAsked) {
  for (const auto& [rule, least] : {std::pair<Rule, std::size_t>{TrimmedMean{faulty(2)}, 5},
                                    {Meamed{faulty(2)}, 5},
                                    {Phocas{faulty(2)}, 5},
                                    {Mda{faulty(2)}, 5},
                                    {Krum{faulty(2)}, 7},
                                    {Bulyan{faulty(2)}, 11}}) {
    SCOPED_TRACE(to_string(rule));
    EXPECT_TRUE(run_on(cpu_backend(), {.rule = rule}, Rows(least, Vector{1})).status.ok());
    EXPECT_EQ(run_on(cpu_backend(), {.rule = rule}, Rows(least - 1, Vector{1})).status.reason(),
              "cohort_too_small");
  }
}

TEST(Defect9, BulyanElectsAnewAfterEveryWinner) {
  std::mt19937_64 random(39);
  int one_shot_differs = 0;
  for (int trial = 0; trial < 30; ++trial) {
    const Rows rows = gaussian(15, 3, random);
    const auto ours =
        run_on(cpu_backend(), {.rule = Bulyan{faulty(3)}}, rows).outcome.selected.rows();
    EXPECT_EQ(ours, ascending(bulyan_order(rows, 3)));
    auto one_shot = krum_order(rows, 15 - 3 - 2);
    one_shot.resize(9);
    one_shot_differs += ours != ascending(one_shot);
  }
  EXPECT_GT(one_shot_differs, 0);
}

TEST(Defect10, BulyanIsNotAnAverageOfAverages) {
  // theta is n - 2f, not two fewer; what is elected are rows; the median of an even number is
  // between two; scores are computed anew, not corrected by subtraction.
  std::mt19937_64 random(40);
  for (const std::size_t n : {11u, 12u}) {
    const Rows rows = gaussian(n, 4, random);
    const Answer answer = run({.rule = Bulyan{faulty(2)}}, rows);
    EXPECT_EQ(answer.outcome.selected.size(), n - 4);
    EXPECT_EQ(answer.outcome.divisor, n - 8);
    const Vector expected = after_rule(Bulyan{faulty(2)}, rows, 2);
    for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(answer.values[k], expected[k], 1e-11);
  }
  // A row 1e4 away leaves with its distances: nothing of them may stay in the scores of the others.
  Rows rows = gaussian(11, 4, random);
  for (Vector& row : rows)
    for (double& x : row) x *= 1e-6;
  rows[4] = Vector(4, 60);
  EXPECT_EQ(run({.rule = Bulyan{faulty(2)}}, rows).outcome.selected.rows(),
            ascending(bulyan_order(rows, 2)));
}

TEST(Defect15, AZeroNormIsDividedByNowhere) {
  const Rows rows = {{0, 0}, {-0.0, 0}, {3, 4}, {0, 0}, {0, 0}, {6, 8}, {0, 0}};
  for (const PreStep& step : {PreStep(Clipping{1e-6}), PreStep(AdaptiveClipping{faulty(2)}),
                              PreStep(AdaptiveClipping{faulty(3)})}) {
    const Answer answer = run({.rule = Median{}, .pre_steps = {step}}, rows);
    ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
    EXPECT_EQ(answer.values, (Vector{0, 0}));
    EXPECT_EQ(answer.outcome.invalid, 0u);
  }
  // Norms 0 0 0 0 0 5 10 and f = 2: two are clipped, to the third longest norm, which is 0.
  EXPECT_EQ(run({.rule = Mean{}, .pre_steps = {AdaptiveClipping{faulty(2)}}}, rows).values,
            (Vector{0, 0}));
}

TEST(PeerDefect4, NormsOfPartsAreNotAddedUp) {
  // The distance is that of the whole update, however it is cut into chunks.
  std::mt19937_64 random(44);
  const Rows rows = gaussian(9, 60, random);
  for (const Rule& rule : {Rule(Krum{faulty(2)}), Rule(Bulyan{faulty(1)}), Rule(Mda{faulty(2)})}) {
    const auto whole = run_on(cpu_backend(), {.rule = rule}, rows).outcome.selected.rows();
    for (const std::uint32_t chunk : {7u, 16u, 59u})
      EXPECT_EQ(run_on(cpu_backend(), {.rule = rule, .chunk_coordinates = chunk}, rows)
                    .outcome.selected.rows(),
                whole);
  }
}

TEST(PeerDefect5, ClaimedWeightsMoveNoRobustRule) {
  std::mt19937_64 random(45);
  const Rows rows = gaussian(9, 6, random);
  for (const Rule& rule : kBoundedRules)
    EXPECT_EQ(
        run_on(cpu_backend(), {.rule = rule}, rows).values,
        run_on(cpu_backend(),
               {.rule = rule, .max_weight = 1000, .weights = {1, 999, 5, 1, 1, 7, 1000, 1, 3}},
               rows)
            .values);
}

}  // namespace
}  // namespace muster::robust::testing
