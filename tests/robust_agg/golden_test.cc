// The worked examples of docs/rules.md, on every backend and every codec.
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

const Rows kSetA = {{4, -2, 1, 0}, {5, -1, 0, 2}, {3, -3, 2, 1},  {4, -1, 1, 1},
                    {6, -2, 0, 0}, {2, -2, 3, 2}, {-9, 8, -7, 30}};
const Rows kByzFl = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};

struct Format {
  const char* name;
  ChunkFormat format;
  std::uint32_t chunk_coordinates;
};
/// All can hold the integers of the examples; chunks smaller than the vector, with a short last
/// one.
const Format kFormats[] = {{"f32", {Codec::kF32, 0}, 3},
                           {"f32 in one chunk", {Codec::kF32, 0}, 64},
                           {"bf16", {Codec::kBF16, 0}, 3},
                           {"i8b", {Codec::kI8B, 1}, 2},
                           {"i8s", {Codec::kI8S, 0}, 3}};

void expect_values(const Answer& answer, const Vector& expected) {
  ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
  ASSERT_EQ(answer.values.size(), expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k)
    EXPECT_NEAR(answer.values[k], expected[k], answer.resolution) << "coordinate " << k;
}

struct Example {
  Rule rule;
  Vector expected;
  std::vector<std::uint32_t> selected = {};
  std::vector<PreStep> pre_steps = {};
  std::string name() const { return to_string(pre_steps, rule); }
};

std::vector<Example> examples() {
  const auto q5 = Neighbours::kNMinusFMinus1;
  const Vector best4 = {4, -1.75, 1, 1}, best5 = {4.4, -1.8, 0.8, 0.8},
               best6 = {4, -11.0 / 6, 7.0 / 6, 1};
  return {
      {Mean{}, {15.0 / 7, -3.0 / 7, 0, 36.0 / 7}},
      {Median{}, {4, -2, 1, 1}},
      {TrimmedMean{faulty(0)}, {15.0 / 7, -3.0 / 7, 0, 36.0 / 7}},
      {TrimmedMean{faulty(1)}, {3.6, -1.6, 0.8, 1.2}},
      {TrimmedMean{faulty(2)}, {11.0 / 3, -5.0 / 3, 2.0 / 3, 4.0 / 3}},
      {TrimmedMean{faulty(3)}, {4, -2, 1, 1}},
      {TrimmedMean{{std::nullopt, 0.2}}, {3.6, -1.6, 0.8, 1.2}},
      // Rows 1 and 4 tie at a score of 18; the lower rank wins.
      {Krum{faulty(1)}, {4, -2, 1, 0}, {0}},
      {Krum{faulty(1), q5}, {4, -1, 1, 1}, {3}},
      {MultiKrum{faulty(1), 4}, best4, {0, 1, 2, 3}},
      {MultiKrum{faulty(1), 4, q5}, best4, {0, 1, 2, 3}},
      {MultiKrum{faulty(1), 5}, best5, {0, 1, 2, 3, 4}},
      {MultiKrum{faulty(1), 5, q5}, best5, {0, 1, 2, 3, 4}},
      {MultiKrum{faulty(1), 6}, best6, {0, 1, 2, 3, 4, 5}},
      {MultiKrum{faulty(1), 6, q5}, best6, {0, 1, 2, 3, 4, 5}},
      {MultiKrum{faulty(1), 0}, best4, {0, 1, 2, 3}},
      {MultiKrum{faulty(1), 7}, {15.0 / 7, -3.0 / 7, 0, 36.0 / 7}, {0, 1, 2, 3, 4, 5, 6}},
      {Meamed{faulty(1)}, best6},
      {Phocas{faulty(1)}, best6},
      {Mda{faulty(1)}, best6, {0, 1, 2, 3, 4, 5}},
      // With ties split by index it would be 11/3, -5/3, 4/3, 2/3.
      {Bulyan{faulty(1)}, {4, -17.0 / 9, 8.0 / 9, 8.0 / 9}, {0, 1, 2, 3, 4}},
      {TrimmedMean{faulty(1)}, best6, {}, {NeighbourMixing{faulty(1)}}},
  };
}

TEST(Golden, SetAHoldsForEveryRuleCodecAndBackend) {
  for (const Format& format : kFormats)
    for (const Example& example : examples()) {
      SCOPED_TRACE(std::string(format.name) + " " + example.name());
      const Answer answer = run({.rule = example.rule,
                                 .format = format.format,
                                 .chunk_coordinates = format.chunk_coordinates,
                                 .pre_steps = example.pre_steps},
                                kSetA);
      expect_values(answer, example.expected);
      EXPECT_EQ(answer.outcome.selected.rows(), example.selected);
      EXPECT_EQ(answer.outcome.n, 7u);
      EXPECT_EQ(answer.outcome.invalid, 0u);
    }
}

TEST(Golden, ClippedMeanOfSetA) {
  for (const Format& format : kFormats) {
    SCOPED_TRACE(format.name);
    const Answer answer = run({.rule = ClippedMean{5},
                               .format = format.format,
                               .chunk_coordinates = format.chunk_coordinates},
                              kSetA);
    Vector exact(4);
    for (const Vector& row : kSetA) {
      double squared = 0;
      for (const double x : row) squared += x * x;
      const double factor = std::min(1.0, 5 / std::sqrt(squared));
      for (std::size_t k = 0; k < 4; ++k) exact[k] += row[k] * factor / 7;
    }
    expect_values(answer, exact);
    const Vector printed = {2.992465, -1.326380, 0.848831, 1.480114};
    for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(answer.values[k], printed[k], 5e-7);
    EXPECT_EQ(answer.outcome.divisor, 7);
  }
}

TEST(Golden, EveryOrderOfSetAGivesTheSameBits) {
  std::vector<Example> all = examples();
  all.push_back({ClippedMean{5}, {}});
  const PreStep clipping = Clipping{5}, arc = AdaptiveClipping{faulty(1)}, buckets = Bucketing{2},
                mixing = NeighbourMixing{faulty(1)};
  all.push_back({Mean{}, {}, {}, {arc}});
  all.push_back({Median{}, {}, {}, {clipping, buckets, mixing}});
  all.push_back({MultiKrum{faulty(1), 3}, {}, {}, {arc, mixing}});
  all.push_back({Mda{faulty(1)}, {}, {}, {clipping, buckets}});
  all.push_back({Bulyan{faulty(1)}, {}, {}, {mixing}});
  for (const Example& example : all)
    for (const Format& format : {kFormats[0], kFormats[4]}) {
      SCOPED_TRACE(std::string(format.name) + " " + example.name());
      const Conditions sorted{.rule = example.rule,
                              .format = format.format,
                              .chunk_coordinates = format.chunk_coordinates,
                              .pre_steps = example.pre_steps};
      const Answer expected = run_on(cpu_backend(), sorted, kSetA);
      std::vector<std::uint64_t> order(kSetA.size());
      std::iota(order.begin(), order.end(), std::uint64_t{0});
      int permutations = 0;
      do {
        Conditions conditions = sorted;
        conditions.ranks = order;
        Rows rows;
        for (const std::uint64_t row : order) rows.push_back(kSetA[row]);
        const Answer answer = run_on(cpu_backend(), conditions, rows);
        ASSERT_EQ(answer.sum, expected.sum) << ::testing::PrintToString(order);
        std::vector<std::uint32_t> selected;
        for (const std::uint32_t position : answer.outcome.selected.rows())
          selected.push_back(static_cast<std::uint32_t>(order[position]));
        std::sort(selected.begin(), selected.end());
        ASSERT_EQ(selected, expected.outcome.selected.rows()) << ::testing::PrintToString(order);
        ++permutations;
      } while (std::next_permutation(order.begin(), order.end()));
      EXPECT_EQ(permutations, 5040);
    }
}

TEST(Golden, TiesGoToTheLowerRank) {
  // Rows 1 and 4 tie; now row 4 has the lower rank.
  const Answer answer = run({.rule = Krum{faulty(1)}, .ranks = {9, 8, 7, 1, 6, 5, 0}}, kSetA);
  EXPECT_EQ(answer.outcome.selected.rows(), std::vector<std::uint32_t>{3});
}

TEST(Golden, MicroVectorsOfByzFl) {
  expect_values(run({.rule = TrimmedMean{faulty(1)}}, kByzFl), {4, 5, 6});
  expect_values(run({.rule = Median{}}, kByzFl), {4, 5, 6});
  expect_values(run({.rule = Meamed{faulty(1)}}, kByzFl), {4, 5, 6});
  expect_values(run({.rule = Mda{faulty(1)}}, kByzFl), {2.5, 3.5, 4.5});
  // The means after NNM are (2.5, ..), (2.5, ..), (5.5, ..); the median of them is the first.
  expect_values(run({.rule = Median{}, .pre_steps = {NeighbourMixing{faulty(1)}}}, kByzFl),
                {2.5, 3.5, 4.5});
  expect_values(run({.rule = Mean{}, .pre_steps = {NeighbourMixing{faulty(1)}}}, kByzFl),
                {3.5, 4.5, 5.5});
  // ARC makes the third row 4.41004009, 5.04004582, 5.67005155.
  const Answer arc = run({.rule = Mean{}, .pre_steps = {AdaptiveClipping{faulty(1)}}}, kByzFl);
  const Vector clipped_third = {4.41004009, 5.04004582, 5.67005155};
  for (std::size_t k = 0; k < 3; ++k)
    EXPECT_NEAR(3 * arc.values[k] - kByzFl[0][k] - kByzFl[1][k], clipped_third[k], 1e-8);
  // |(1, 2, 3)| = sqrt 14: clipped to 2 it is 0.53452248, 1.06904497, 1.60356745.
  const Answer clipped = run({.rule = ClippedMean{2}}, {kByzFl[0]});
  expect_values(clipped, {2 / std::sqrt(14.0), 4 / std::sqrt(14.0), 6 / std::sqrt(14.0)});
  EXPECT_NEAR(clipped.values[0], 0.53452248, 5e-9);
}

TEST(Golden, EvenMedianIsTheMiddleOfTheTwoMiddleValues) {
  const Answer answer = run({.rule = Median{}}, {{1, 0}, {2, 0}, {4, -1}, {100 / 2, -1}});
  expect_values(answer, {3, -0.5});
  EXPECT_EQ(answer.outcome.divisor, 2);
}

}  // namespace
}  // namespace muster::robust::testing
