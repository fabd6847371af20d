// Selections that begin with a Gram matrix in f32: the rows are those of the definition, and those
// of every backend without one.
#include <gmock/gmock.h>

#include <random>

#include "robust_agg/select.h"
#include "tests/robust_agg/krum_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::size_t kRows = 70;  // enough to be estimated
constexpr std::uint32_t kFaulty = 14;
constexpr std::size_t kNeighbours = kRows - kFaulty - 2;
constexpr ChunkFormat kFormats[] = {{Codec::kF32, 0}, {Codec::kBF16, 0}};

Rows gaussian(std::size_t n, std::size_t d, double scale, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, scale);
  Rows rows(n, Vector(d));
  for (Vector& row : rows)
    for (double& x : row) x = normal(random);
  return rows;
}

/// What the codec makes of them.
Rows as_bf16(Rows rows) {
  for (Vector& row : rows)
    for (double& x : row) {
      const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x)) & 0xffff0000u;
      x = static_cast<double>(std::bit_cast<float>(bits));
    }
  return rows;
}

void expect_definition(const Rows& rows, const std::string& what,
                       std::uint32_t chunk_coordinates = 300) {
  SCOPED_TRACE(what);
  const auto scores = krum_scores(rows, kNeighbours);
  for (const std::uint32_t m : {1u, 20u, static_cast<std::uint32_t>(kNeighbours)}) {
    const Conditions conditions{.rule = MultiKrum{faulty(kFaulty), m},
                                .chunk_coordinates = chunk_coordinates};
    const Answer answer = run(conditions, rows);
    EXPECT_EQ(answer.outcome.selected.rows(), best_rows(scores, m)) << m;
    ReferenceBackend off;  // each entry off by as much as it may be
    off.set_estimating();
    expect_equal(answer, run_on(off, conditions, rows), "estimates that err as they may");
    EXPECT_GT(off.estimates(), 0u);
  }
}

TEST(KrumEstimate, SelectsAsTheDefinitionInLongDoubleDoes) {
  std::mt19937_64 random(21);
  Rows rows = gaussian(kRows, 700, 1, random);
  expect_definition(rows, "normal");
  for (std::size_t i = 0; i < kFaulty; ++i) rows[i * 5] = Vector(700, i % 2 == 0 ? 60 : -60);
  expect_definition(rows, "attackers as far away as is legal");
  rows = gaussian(kRows, 700, 1, random);
  for (std::size_t i = 0; i < 40; ++i) rows[i] = rows[i % 4];
  expect_definition(rows, "copies");
  for (std::size_t i = 0; i < 10; ++i) rows[i * 7] = Vector(700, 0);
  expect_definition(rows, "copies and zeros");
}

TEST(KrumEstimate, TellsNearlyEqualUpdatesApart) {
  std::mt19937_64 random(22);
  const Vector centre = gaussian(1, 900, 1, random)[0];
  for (const double ratio : {1e-2, 1e-6, 1e-10}) {
    Rows rows = gaussian(kRows, 900, std::sqrt(ratio / 2), random);
    for (Vector& row : rows)
      for (std::size_t k = 0; k < row.size(); ++k) row[k] += centre[k];
    expect_definition(rows, std::to_string(ratio));
    for (std::size_t i = 0; i < kFaulty; ++i) rows[i] = Vector(900, i % 2 == 0 ? 60 : -60);
    expect_definition(rows, std::to_string(ratio) + " and attackers");
  }
}

TEST(KrumEstimate, DoesNotTrustAnEstimateFurtherThanItsBound) {
  // Rows at right angles whose lengths, and so whose scores, differ by about what estimates err.
  int moved = 0;
  for (const double step : {1e-6, 3e-6, 1e-5, 3e-5}) {
    Rows rows(kRows, Vector(5 * kRows));
    for (std::size_t i = 0; i < kRows; ++i)
      for (std::size_t k = 0; k < 5; ++k)
        rows[i][5 * i + k] = 1 + step * static_cast<double>(i * 29 % kRows);
    expect_definition(rows, std::to_string(step), 4096);

    // What a selection from such estimates alone would have been.
    ReferenceBackend off;
    const Plan plan = plan_for({.rule = Krum{faulty(kFaulty)}}, kRows, rows[0].size(), off);
    MemoryCohort cohort(plan, off, rows);
    std::vector<double> gram(kRows * kRows);
    off.estimate_gram({cohort.chunk(0).value(), nullptr, gram.data()}, kernels::Stream::kCompute);
    const ScoreBounds bounds = score_bounds(GramDistances(gram, kRows, 0), kNeighbours);
    moved += judge(bounds, 20).selected != best_rows(krum_scores(rows, kNeighbours), 20);
  }
  EXPECT_GT(moved, 0) << "the errors are too small to prove anything";
}

TEST(KrumEstimate, HoldsWhereProductsVanishInFloats) {
  std::mt19937_64 random(23);
  const Rows rows = gaussian(kRows, 300, 1e-23, random);
  expect_definition(rows, "products below the normal f32");
}

TEST(KrumEstimate, TakesRowsByRankWhereScoresTie) {
  std::vector<std::uint64_t> ranks;
  for (std::size_t i = 0; i < kRows; ++i) ranks.push_back((i * 29 + 11) % kRows);
  for (const ChunkFormat format : kFormats) {
    const Answer answer =
        run({.rule = MultiKrum{faulty(kFaulty), 3}, .format = format, .ranks = ranks},
            Rows(kRows, Vector{1, -2, 3}));
    std::vector<std::uint32_t> expected;
    for (std::uint32_t i = 0; i < kRows; ++i)
      if (ranks[i] < 3) expected.push_back(i);
    EXPECT_EQ(answer.outcome.selected.rows(), expected);
  }
}

TEST(KrumEstimate, SettlesWhatLiesApartWithoutAnotherLook) {
  std::mt19937_64 random(24);
  std::uniform_real_distribution<double> length(0.5, 1.5);
  Rows rows = gaussian(kRows, 500, 1, random);
  for (Vector& row : rows) {
    const double scale = length(random);
    for (double& x : row) x *= scale;
  }
  for (const ChunkFormat format : kFormats) {
    const Conditions conditions{.rule = Krum{faulty(kFaulty)}, .format = format};
    ReferenceBackend backend;
    backend.set_estimating();
    const Answer answer = run_on(backend, conditions, rows);
    EXPECT_EQ(backend.estimates(), 1u);
    EXPECT_EQ(backend.grams() + backend.centred_grams(), 0u);
    EXPECT_EQ(backend.pairs_measured(), 0u);
    EXPECT_THAT(answer.outcome.chosen, HasSubstr("estimated in f32, 0 of "));
    const Rows sent = format.codec == Codec::kF32 ? rows : as_bf16(rows);
    EXPECT_EQ(answer.outcome.selected.rows(), best_rows(krum_scores(sent, kNeighbours), 1));
  }
}

TEST(KrumEstimate, GivesWayToF64WhereItCannotTell) {
  // Copies of one row but for the last digit of a coordinate, around a centre far from most.
  std::mt19937_64 random(25);
  Rows rows = gaussian(kRows, 400, 1, random);
  for (std::size_t i = 20; i < kRows; ++i) {
    rows[i] = rows[20];
    rows[i][i % 400] *= 1 + static_cast<double>(i) * 0x1p-22;
  }
  expect_definition(rows, "near copies");
  ReferenceBackend backend;
  backend.set_estimating();
  const Answer answer = run_on(backend, {.rule = MultiKrum{faulty(kFaulty), 20}}, rows);
  EXPECT_GT(backend.grams(), 0u);
  EXPECT_THAT(answer.outcome.chosen, Not(HasSubstr("estimated")));
}

TEST(KrumEstimate, LeavesCodesAndSmallCohortsToTheMatrix) {
  std::mt19937_64 random(26);
  const Rows rows = gaussian(kRows, 60, 0.2, random);
  const auto estimates = [&](Conditions conditions, const Rows& of) {
    ReferenceBackend backend;
    backend.set_estimating();
    run_on(backend, conditions, of);
    return backend.estimates();
  };
  EXPECT_EQ(estimates({.rule = Krum{faulty(kFaulty)}}, rows), 1u);
  EXPECT_EQ(estimates({.rule = Krum{faulty(kFaulty)}, .format = {Codec::kI8B, 6}}, rows), 0u);
  EXPECT_EQ(estimates({.rule = Krum{faulty(2)}}, Rows(rows.begin(), rows.begin() + 63)), 0u);
}

}  // namespace
}  // namespace muster::robust::testing
