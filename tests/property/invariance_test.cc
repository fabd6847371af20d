// What must not matter: the order of rows, rows that break the input contract, where the origin is,
// the unit of the values.
#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/property/seed.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

constexpr int kTrials = 60;

struct Subject {
  Rule rule;
  std::vector<PreStep> pre_steps = {};
  std::string name() const { return to_string(pre_steps, rule); }
};

const Subject kSubjects[] = {
    {Mean{}},
    {ClippedMean{1.5}},
    {Median{}},
    {TrimmedMean{faulty(2)}},
    {TrimmedMean{{std::nullopt, 0.3}}},
    {Krum{faulty(2)}},
    {Krum{faulty(2), Neighbours::kNMinusFMinus1}},
    {MultiKrum{faulty(2)}},
    {MultiKrum{faulty(1), 3}},
    {Krum{faulty(2), Neighbours::kNMinusFMinus2, Scores::kSketched}},
    {Meamed{faulty(2)}},
    {Phocas{faulty(3)}},
    {Bulyan{faulty(1)}},
    {Mda{faulty(2)}},
    {GeometricMedian{0.01, 6, 1e-6}},
    {CentredClipping{2, 3}},
    {Cge{faulty(2)}},
    {Caf{faulty(2)}},
    {SignMajority{}},
    {TrimmedMean{faulty(1)}, {AdaptiveClipping{faulty(1)}, Bucketing{2}}},
    {Median{}, {NeighbourMixing{faulty(3)}}},
    {Krum{faulty(2)}, {NeighbourMixing{faulty(2)}}},
    {MultiKrum{faulty(0), 2}, {Clipping{1.5}, Bucketing{2}}},
    {Mda{faulty(1)}, {Bucketing{2}, NeighbourMixing{faulty(1)}}},
    {Bulyan{faulty(1)}, {NeighbourMixing{faulty(2)}}},
    {GeometricMedian{0.01, 6, 1e-6}, {NeighbourMixing{faulty(2)}}},
    {CentredClipping{2, 3, Start::kZero}, {AdaptiveClipping{faulty(1)}, Bucketing{2}}},
};

/// Whether a result is a sum of inputs. Norms and distances that are not exact add chunk by chunk.
bool exact_sums(const Conditions& conditions) {
  return conditions.pre_steps.empty() && !std::holds_alternative<ClippedMean>(conditions.rule) &&
         !std::holds_alternative<GeometricMedian>(conditions.rule) &&
         !std::holds_alternative<CentredClipping>(conditions.rule);
}

/// Whether nothing but the place of rows to each other matters.
bool clips(const Conditions& conditions) {
  return !conditions.pre_steps.empty() && conditions.pre_steps[0].index() <= 1;
}

/// Multiples of 1/4 within +-7, which every codec holds; small ranges make ties common.
Rows random_rows(std::size_t n, std::size_t d, std::mt19937_64& random) {
  const int range = random() % 2 == 0 ? 2 : 28;
  std::uniform_int_distribution<int> quarter(-range, range);
  Rows rows(n, Vector(d));
  for (Vector& row : rows)
    for (double& x : row) x = quarter(random) / 4.0;
  for (std::size_t i = 1; i < n; ++i)
    if (random() % 4 == 0) rows[i] = random() % 2 == 0 ? rows[random() % i] : Vector(d);
  return rows;
}

struct Case {
  Conditions conditions;
  Rows rows;
};

Case random_case(const Subject& subject, std::mt19937_64& random) {
  constexpr ChunkFormat kFormats[] = {
      {Codec::kF32, 0}, {Codec::kBF16, 0}, {Codec::kI8B, 3}, {Codec::kI8S, 3}};
  const std::size_t n = 7 + random() % 40, d = 1 + random() % 70;
  Case made{{.rule = subject.rule,
             .format = kFormats[random() % 4],
             .chunk_coordinates = 32,
             .pre_steps = subject.pre_steps},
            {}};
  made.conditions.max_weight = 7;
  made.rows = random_rows(n, d, random);
  for (std::size_t i = 0; i < n; ++i) {
    made.conditions.weights.push_back(static_cast<std::uint32_t>(1 + random() % 9));
    made.conditions.ranks.push_back(random());
  }
  return made;
}

template <class Check>
void for_each_case(const Check& check) {
  for (const Subject& subject : kSubjects)
    for (int trial = 0; trial < kTrials; ++trial) {
      std::mt19937_64 random = trial_random(trial);
      SCOPED_TRACE(subject.name() + ", " + replay_hint(trial));
      const Case made = random_case(subject, random);
      ASSERT_NO_FATAL_FAILURE(check(made, random));
      if (::testing::Test::HasFailure()) return;
    }
}

TEST(Invariance, OrderOfRows) {
  for_each_case([](const Case& made, std::mt19937_64& random) {
    const Answer expected = run_on(cpu_backend(), made.conditions, made.rows);
    std::vector<std::size_t> order(made.rows.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    Case shuffled{made.conditions, {}};
    for (std::size_t i = 0; i < order.size(); ++i) {
      shuffled.rows.push_back(made.rows[order[i]]);
      shuffled.conditions.weights[i] = made.conditions.weights[order[i]];
      shuffled.conditions.ranks[i] = made.conditions.ranks[order[i]];
    }
    const Answer answer = run_on(cpu_backend(), shuffled.conditions, shuffled.rows);
    ASSERT_TRUE(expected.status.ok()) << expected.status.to_string();
    EXPECT_EQ(answer.sum, expected.sum);
    EXPECT_EQ(answer.outcome.divisor, expected.outcome.divisor);
    std::vector<std::uint32_t> selected;
    for (const std::uint32_t row : answer.outcome.selected.rows())
      selected.push_back(static_cast<std::uint32_t>(order[row]));
    std::sort(selected.begin(), selected.end());
    EXPECT_EQ(selected, expected.outcome.selected.rows());
  });
}

TEST(Invariance, Backends) {
  for_each_case([](const Case& made, std::mt19937_64& random) {
    if (random() % 8 == 0) run(made.conditions, made.rows);
    ReferenceBackend reference;
    expect_equal(run_on(reference, made.conditions, made.rows),
                 run_on(cpu_backend(), made.conditions, made.rows), "plain loops against cpu");
  });
}

TEST(Invariance, ChunkLengthOfExactValues) {
  for_each_case([](const Case& made, std::mt19937_64&) {
    if (!exact_sums(made.conditions)) return;
    Conditions longer = made.conditions;
    longer.chunk_coordinates = 96;
    EXPECT_EQ(run_on(cpu_backend(), longer, made.rows).sum,
              run_on(cpu_backend(), made.conditions, made.rows).sum);
  });
}

TEST(Invariance, RowsThatBreakTheInputContract) {
  for_each_case([](Case made, std::mt19937_64& random) {
    made.conditions.format = {Codec::kF32, 0};
    const Answer expected = run_on(cpu_backend(), made.conditions, made.rows);
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const std::size_t broken = 1 + random() % 3;
    for (std::size_t i = 0; i < broken; ++i) {
      const double bad[] = {std::nan(""), kInfinity, -kInfinity, 1e38, -1e38, 65};
      Vector row = made.rows[random() % made.rows.size()];
      if (random() % 2 == 0) std::fill(row.begin(), row.end(), bad[random() % 6]);
      row[random() % row.size()] = bad[random() % 6];
      const auto place = static_cast<std::ptrdiff_t>(random() % (made.rows.size() + 1));
      made.rows.insert(made.rows.begin() + place, row);
      made.conditions.weights.insert(made.conditions.weights.begin() + place, 7);
      made.conditions.ranks.insert(made.conditions.ranks.begin() + place, 0);
    }
    // The grid of a larger cohort may be coarser; these values are on every grid.
    const Answer answer = run_on(cpu_backend(), made.conditions, made.rows);
    EXPECT_EQ(answer.outcome.invalid, broken);
    EXPECT_EQ(answer.outcome.n, expected.outcome.n);
    EXPECT_EQ(answer.values, expected.values);
  });
}

TEST(Invariance, Translation) {
  for_each_case([](const Case& made, std::mt19937_64& random) {
    const Shape shape = shape_of(made.conditions.rule);
    if (shape == Shape::kRow || shape == Shape::kPasses || clips(made.conditions)) return;
    if (std::holds_alternative<Caf>(made.conditions.rule)) return;  // its weights round
    Case moved = made;
    moved.conditions.format = {Codec::kF32, 0};
    const double by = static_cast<double>(random() % 21) - 10;
    for (Vector& row : moved.rows)
      for (double& x : row) x += by;
    Conditions conditions = made.conditions;
    conditions.format = moved.conditions.format;
    const Answer expected = run_on(cpu_backend(), conditions, made.rows);
    const Answer answer = run_on(cpu_backend(), moved.conditions, moved.rows);
    EXPECT_EQ(answer.outcome.selected, expected.outcome.selected);
    for (std::size_t k = 0; k < answer.values.size(); ++k)
      EXPECT_NEAR(answer.values[k], expected.values[k] + by, 1e-12);
  });
}

TEST(Invariance, Unit) {
  for_each_case([](const Case& made, std::mt19937_64&) {
    // Means are rounded to the grid, and that may part two values as far from the centre.
    if (!made.conditions.pre_steps.empty() && std::holds_alternative<Bulyan>(made.conditions.rule))
      return;
    Case scaled = made;
    scaled.conditions.format = {Codec::kF32, 0};
    for (Vector& row : scaled.rows)
      for (double& x : row) x *= 8;
    if (auto* clipped = std::get_if<ClippedMean>(&scaled.conditions.rule)) clipped->clip_norm *= 8;
    if (auto* median = std::get_if<GeometricMedian>(&scaled.conditions.rule))
      median->smoothing *= 8;
    if (auto* clipping = std::get_if<CentredClipping>(&scaled.conditions.rule)) clipping->tau *= 8;
    if (auto* majority = std::get_if<SignMajority>(&scaled.conditions.rule)) majority->step *= 8;
    for (PreStep& step : scaled.conditions.pre_steps)
      if (auto* clipping = std::get_if<Clipping>(&step)) clipping->clip_norm *= 8;
    Conditions conditions = made.conditions;
    conditions.format = scaled.conditions.format;
    const Answer expected = run_on(cpu_backend(), conditions, made.rows);
    const Answer answer = run_on(cpu_backend(), scaled.conditions, scaled.rows);
    EXPECT_EQ(answer.outcome.selected, expected.outcome.selected);
    for (std::size_t k = 0; k < answer.values.size(); ++k)
      // Iterated rules measure from rounded points.
      EXPECT_NEAR(answer.values[k], 8 * expected.values[k], 128 * expected.resolution);
  });
}

}  // namespace
}  // namespace muster::robust::testing
