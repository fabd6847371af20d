// Krum with sketched scores, and what it stands on.
#include <gmock/gmock.h>

#include <numeric>
#include <random>

#include "tests/robust_agg/krum_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// Honest rows of different spread around a common one, then attackers: far away, copies of one
/// another, or shifted a little together.
Rows attacked(std::size_t n, std::size_t f, std::size_t d, int attack, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> spread(0.5, 2);
  Vector common(d), shift(d);
  for (std::size_t k = 0; k < d; ++k) common[k] = 0.3 * normal(random), shift[k] = normal(random);
  Rows rows(n, Vector(d));
  for (std::size_t i = 0; i < n; ++i) {
    const double scale = spread(random);
    const bool hostile = i >= n - f;
    for (std::size_t k = 0; k < d; ++k) {
      double x = common[k] + scale * normal(random);
      if (hostile && attack == 0) x = k % 2 == 0 ? 60 : -60;
      if (hostile && attack == 1) x = common[k] + 1.5 * shift[k];
      if (hostile && attack == 2) x += 0.5;
      rows[i][k] = std::clamp(x, -60.0, 60.0);
    }
  }
  return rows;
}

/// As run_on(), with sketches made on arrival in another order than the cohort's.
Answer run_folded(kernels::Backend& backend, const Conditions& conditions, const Rows& rows,
                  SketchKey key) {
  const Plan plan = plan_for(conditions, rows.size(), rows[0].size(), backend);
  MemoryCohort cohort(plan, backend, rows, conditions.weights, conditions.ranks);
  SketchFold fold = SketchFold::create(backend, plan, key, cohort.size()).value();
  std::vector<std::uint32_t> indices(rows.size());
  for (std::size_t i = rows.size(); i-- > 0;) {
    const SketchFold::Added added = fold.add(cohort.update(i));
    indices[i] = added.index;
  }
  const std::size_t before = cohort.reads();
  const kernels::Buffer sum = backend.allocate(rows[0].size() * sizeof(std::int64_t)).value();
  Answer answer;
  const SketchedCohort sketched{&fold, indices};
  auto outcome = aggregate(plan, backend, cohort, sum.as<std::int64_t>(), nullptr, &sketched);
  answer.status = outcome.status();
  if (outcome.ok()) answer.outcome = *std::move(outcome);
  answer.reads = cohort.reads() - before;
  answer.sum.resize(rows[0].size());
  backend.download(std::as_writable_bytes(std::span(answer.sum)), sum.data,
                   kernels::Stream::kCompute);
  backend.release(sum);
  return answer;
}

TEST(KeyedWord, IsSipHash) {
  // Aumasson and Bernstein 2012, the reference implementation's vector for 8 bytes 00 .. 07.
  const SketchKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  EXPECT_EQ(keyed_word(key, 0x0706050403020100), 0x93f5f5799a932462u);
}

TEST(SketchedKrum, DecidesSmallCohortsExactly) {
  std::mt19937_64 random(11);
  for (int trial = 0; trial < 12; ++trial) {
    const std::uint32_t f = static_cast<std::uint32_t>(trial % 4);
    const std::size_t n = 2 * f + 3 + static_cast<std::size_t>(trial);
    const Rows rows = attacked(n, f, 1000, trial % 3, random);
    const auto scores = krum_scores(rows, n - f - 2);
    for (const std::uint32_t m : {1u, f + 1}) {
      MultiKrum rule{faulty(f), m};
      rule.scores = Scores::kSketched;
      const Answer answer = run({.rule = rule, .chunk_coordinates = 640}, rows);
      EXPECT_EQ(answer.outcome.selected.rows(), best_rows(scores, m)) << "trial " << trial;
      EXPECT_THAT(answer.outcome.chosen, HasSubstr(", certified"));
    }
  }
}

TEST(SketchedKrum, ElectsTheExactWinnerOfLargeCohorts) {
  std::mt19937_64 random(12);
  for (int attack = 0; attack < 3; ++attack)
    for (const ChunkFormat format : {ChunkFormat{Codec::kF32, 0}, ChunkFormat{Codec::kI8B, 6}}) {
      const Rows rows = attacked(200, 40, 3000, attack, random);
      Conditions conditions{.rule = Krum{faulty(40)}, .format = format, .chunk_coordinates = 1024};
      conditions.ranks.resize(200);
      for (auto& rank : conditions.ranks) rank = random();
      const Answer exact = run_on(cpu_backend(), conditions, rows);
      conditions.rule = Krum{faulty(40), Neighbours::kNMinusFMinus2, Scores::kSketched};
      const Answer sketched = run_on(cpu_backend(), conditions, rows);
      EXPECT_EQ(sketched.outcome.selected, exact.outcome.selected) << attack;
      EXPECT_EQ(sketched.sum, exact.sum);
      EXPECT_THAT(sketched.outcome.chosen, HasSubstr(", certified")) << sketched.outcome.chosen;
      for (const std::uint64_t secret : {1u, 2u, 3u}) {
        const Answer folded = run_folded(cpu_backend(), conditions, rows, {secret, 7});
        EXPECT_EQ(folded.outcome.selected, exact.outcome.selected) << secret;
        EXPECT_EQ(folded.sum, exact.sum);
        // Four passes at most: the rows near the cut with the far ones and with the total, those
        // near the cut with all, and the sum.
        EXPECT_LE(folded.reads, 4u * 3);
      }
    }
}

TEST(SketchedKrum, BackendsAgreeOnFoldedCohorts) {
  std::mt19937_64 random(13);
  const Rows rows = attacked(90, 20, 700, 1, random);
  const Conditions conditions{
      .rule = Krum{faulty(20), Neighbours::kNMinusFMinus1, Scores::kSketched},
      .chunk_coordinates = 256};
  ReferenceBackend plain, opaque(false);
  const Answer expected = run_folded(plain, conditions, rows, {5, 6});
  ASSERT_TRUE(expected.status.ok()) << expected.status.to_string();
  expect_equal(expected, run_folded(opaque, conditions, rows, {5, 6}), "opaque memory");
  const Answer fast = run_folded(cpu_backend(), conditions, rows, {5, 6});
  expect_equal(expected, fast, "cpu");
  EXPECT_EQ(fast.outcome.chosen, expected.outcome.chosen);
}

TEST(SketchedKrum, SaysWhereTheCutIsNotCertified) {
  // Rows that differ by a thousandth of their length: their sketches cannot tell them apart.
  std::mt19937_64 random(14);
  std::normal_distribution<double> normal;
  Vector common(400);
  for (double& x : common) x = normal(random);
  Rows rows(100, common);
  for (Vector& row : rows)
    for (double& x : row) x += 1e-3 * normal(random);
  const Answer answer =
      run_on(cpu_backend(),
             {.rule = Krum{faulty(20), Neighbours::kNMinusFMinus2, Scores::kSketched}}, rows);
  EXPECT_THAT(answer.outcome.chosen, AllOf(HasSubstr("64 rows near the cut measured exactly"),
                                           HasSubstr(", not certified: 36 more rows")));
}

TEST(SketchedKrum, ScoresContendersByTheSumOfAll) {
  // Rows of one spread, so that several contend, and attackers who are far from all.
  std::mt19937_64 random(23);
  std::normal_distribution<double> normal;
  for (const ChunkFormat format : {ChunkFormat{Codec::kF32, 0}, ChunkFormat{Codec::kI8B, 6}}) {
    Rows rows(160, Vector(1000));
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (double& x : rows[i])
        x = std::clamp((i < 120 ? 4.0 : 30.0) * normal(random), -60.0, 60.0);
    MultiKrum rule{faulty(40), 3};
    const Conditions conditions{.rule = rule, .format = format, .chunk_coordinates = 640};
    const Answer exact = run_on(cpu_backend(), conditions, rows);
    rule.scores = Scores::kSketched;
    Conditions sketched = conditions;
    sketched.rule = rule;
    const Answer answer = run(sketched, rows);
    EXPECT_EQ(answer.outcome.selected, exact.outcome.selected);
    EXPECT_EQ(answer.sum, exact.sum);
    EXPECT_THAT(answer.outcome.chosen,
                AllOf(HasSubstr("rows near the cut measured exactly by the sum of all and 53 far"),
                      HasSubstr(", certified")));
  }
}

TEST(SketchFold, SumsUpWhatIsValid) {
  std::mt19937_64 random(24);
  std::normal_distribution<double> normal;
  Rows rows(20, Vector(1000));
  for (Vector& row : rows)
    for (double& x : row) x = normal(random);
  rows[2][999] = std::numeric_limits<double>::infinity();  // its first chunks were added already
  rows[5][0] = 1e30;
  rows[19][300] = std::numeric_limits<double>::quiet_NaN();
  const Conditions conditions{
      .rule = Krum{faulty(2), Neighbours::kNMinusFMinus2, Scores::kSketched},
      .chunk_coordinates = 256};
  ReferenceBackend opaque(false);
  for (kernels::Backend* const backend :
       {&cpu_backend(), static_cast<kernels::Backend*>(&opaque)}) {
    const Plan plan = plan_for(conditions, rows.size(), 1000, *backend);
    MemoryCohort cohort(plan, *backend, rows);
    SketchFold fold = SketchFold::create(*backend, plan, {3, 4}, 20).value();
    // A few at once, and one by one.
    std::vector<std::uint32_t> some(12);
    std::iota(some.begin(), some.end(), 0u);
    const auto added =
        fold.add(some.size(), [&](std::uint32_t c) { return cohort.chunk_of(c, some); }).value();
    EXPECT_FALSE(added[2].valid || added[5].valid);
    for (std::size_t i = some.size(); i < rows.size(); ++i) fold.add(cohort.update(i));
    std::vector<std::int64_t> sum(1000);
    backend->download(std::as_writable_bytes(std::span(sum)),
                      reinterpret_cast<const std::byte*>(fold.total()), kernels::Stream::kCompute);
    for (std::size_t k = 0; k < sum.size(); ++k) {
      std::int64_t expected = 0;
      for (std::size_t i = 0; i < rows.size(); ++i)
        if (i != 2 && i != 5 && i != 19)
          expected += std::llrint(std::ldexp(static_cast<float>(rows[i][k]), plan.grid_bits));
      ASSERT_EQ(sum[k], expected) << k;
    }
  }
}

TEST(SketchedKrum, LeavesOutInvalidUpdatesOfAFold) {
  std::mt19937_64 random(15);
  Rows rows = attacked(80, 10, 300, 0, random);
  const Conditions conditions{.rule =
                                  Krum{faulty(10), Neighbours::kNMinusFMinus2, Scores::kSketched}};
  rows[3][7] = std::numeric_limits<double>::quiet_NaN();
  rows[9][0] = 1e30;
  rows[11][5] = -std::numeric_limits<double>::infinity();
  const Answer scanned = run_on(cpu_backend(), conditions, rows);
  const Answer folded = run_folded(cpu_backend(), conditions, rows, {8, 9});
  EXPECT_EQ(folded.outcome.invalid, 3u);
  EXPECT_EQ(folded.outcome.n, 77u);
  EXPECT_EQ(folded.outcome.selected, scanned.outcome.selected);
  EXPECT_EQ(folded.sum, scanned.sum);
}

TEST(SketchedKrum, TakesInvalidUpdatesOfAFoldAsZero) {
  std::mt19937_64 random(18);
  Rows rows = attacked(50, 10, 300, 0, random);
  rows[3][7] = std::numeric_limits<double>::quiet_NaN();
  rows[9][0] = 1e30;
  Conditions conditions{.rule = Krum{faulty(10)}, .invalid_updates = InvalidUpdates::kZero};
  const Answer exact = run_on(cpu_backend(), conditions, rows);
  conditions.rule = Krum{faulty(10), Neighbours::kNMinusFMinus2, Scores::kSketched};
  for (const Answer& answer : {run_on(cpu_backend(), conditions, rows),
                               run_folded(cpu_backend(), conditions, rows, {8, 9})}) {
    EXPECT_EQ(answer.outcome.invalid, 2u);
    EXPECT_EQ(answer.outcome.n, 50u);
    EXPECT_EQ(answer.outcome.selected, exact.outcome.selected);
    EXPECT_EQ(answer.sum, exact.sum);
  }
}

TEST(SketchedKrum, RunsInShards) {
  std::mt19937_64 random(19);
  const Rows rows = attacked(90, 9, 300, 0, random);
  Conditions conditions{.rule = Krum{faulty(9)}, .sharding = Sharding{45, 0.1}};
  const Answer exact = run_on(cpu_backend(), conditions, rows);
  ASSERT_TRUE(exact.status.ok()) << exact.status.to_string();
  conditions.rule = Krum{faulty(9), Neighbours::kNMinusFMinus2, Scores::kSketched};
  const Answer scanned = run_on(cpu_backend(), conditions, rows);
  const Answer folded = run_folded(cpu_backend(), conditions, rows, {8, 9});
  EXPECT_EQ(scanned.outcome.selected, exact.outcome.selected);
  EXPECT_EQ(folded.outcome.selected, exact.outcome.selected);
  EXPECT_EQ(folded.sum, exact.sum);
  EXPECT_LT(folded.reads, scanned.reads);
}

TEST(SketchedKrum, TakesNoPreSteps) {
  const std::vector<PreStep> steps = {Bucketing{2}};
  EXPECT_TRUE(accepts(steps, Krum{faulty(2)}).ok());
  const Status refused =
      accepts(steps, Krum{faulty(2), Neighbours::kNMinusFMinus2, Scores::kSketched});
  EXPECT_EQ(refused.reason(), "pre_step");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("sketched scores"));
}

TEST(Sketches, KeepInnerProductsWithinTheirDeviation) {
  std::mt19937_64 random(16);
  constexpr std::size_t kDimension = 20'000;
  std::normal_distribution<double> normal;
  Rows rows(2, Vector(kDimension));
  for (std::size_t k = 0; k < kDimension; ++k) {
    rows[0][k] = static_cast<float>(normal(random));
    rows[1][k] = static_cast<float>(0.5 * rows[0][k] + normal(random));
  }
  const double product = std::inner_product(rows[0].begin(), rows[0].end(), rows[1].begin(), 0.0);
  const auto norm = [&](int i) {
    const Vector& row = rows[static_cast<std::size_t>(i)];
    return std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
  };
  const double deviation = std::sqrt((norm(0) * norm(1) + product * product) / kSketchCells);
  const Conditions conditions{.rule = Mean{}, .chunk_coordinates = 4096};
  const Plan plan = plan_for(conditions, 2, kDimension, cpu_backend());
  const MemoryCohort cohort(plan, cpu_backend(), rows);
  constexpr int kKeys = 200;
  double mean = 0, square = 0;
  for (int trial = 0; trial < kKeys; ++trial) {
    const SketchKey key{random(), random()};
    SketchFold fold = SketchFold::create(cpu_backend(), plan, key, 2).value();
    fold.add(cohort.update(0));
    fold.add(cohort.update(1));
    const std::byte* sketches[] = {fold.sketch(0), fold.sketch(1)};
    double gram[4] = {};
    cpu_backend().gram({{kSketchFormat, kSketchCells, sketches, {}}, nullptr, gram},
                       kernels::Stream::kCompute);
    const double error = (gram[1] - product) / deviation;
    mean += error / kKeys;
    square += error * error / kKeys;
  }
  EXPECT_LT(std::abs(mean), 5 / std::sqrt(kKeys)) << "biased";
  EXPECT_LT(square, 1.5) << "wider than sketch.h says";
  EXPECT_GT(square, 0.5);
}

TEST(Krum, CentresCohortsThatAreMuchAlike) {
  std::mt19937_64 random(17);
  std::normal_distribution<double> normal;
  constexpr std::size_t kRows = 60, kDimension = 500;
  Vector common(kDimension);
  for (double& x : common) x = normal(random);
  Rows rows(kRows, common);
  for (Vector& row : rows)
    for (double& x : row) x += 1e-5 * normal(random);
  // And attackers as far away as is legal, some of them in the sample the centre is made of.
  for (std::size_t i = 0; i < 10; ++i) rows[i * 3] = Vector(kDimension, i % 2 == 0 ? 60 : -60);
  const auto scores = krum_scores(rows, kRows - 12);
  for (const std::uint32_t m : {1u, 30u}) {
    const Answer answer = run({.rule = MultiKrum{faulty(10), m}, .chunk_coordinates = 200}, rows);
    EXPECT_EQ(answer.outcome.selected.rows(), best_rows(scores, m)) << m;
  }
  ReferenceBackend backend;
  const Answer answer =
      run_on(backend, {.rule = MultiKrum{faulty(10), 30}, .chunk_coordinates = 200}, rows);
  EXPECT_EQ(backend.centred_grams(), 3u);
  EXPECT_THAT(answer.outcome.chosen, HasSubstr("around a centre"));
  EXPECT_LT(backend.pairs_measured(), 400u) << answer.outcome.chosen;
}

TEST(ParseRule, TakesScoresOfTheKrumFamilyOnly) {
  RuleParameters parameters;
  parameters.f = 2;
  parameters.scores = "sketched";
  const Rule rule = parse_rule("krum", parameters).value();
  EXPECT_TRUE(uses_sketches(rule));
  EXPECT_THAT(to_string(rule), HasSubstr("scores=sketched"));
  EXPECT_EQ(parse_rule("trimmed_mean", parameters).status().reason(), "rule_parameter");
  parameters.scores = "exact";
  EXPECT_FALSE(uses_sketches(parse_rule("multi_krum", parameters).value()));
  EXPECT_THAT(to_string(parse_rule("krum", parameters).value()), Not(HasSubstr("scores")));
  parameters.scores = "rough";
  EXPECT_EQ(parse_rule("krum", parameters).status().reason(), "rule_parameter");
}

TEST(MakePlan, CountsSketches) {
  PlanRequest request;
  request.rule = Krum{faulty(2), Neighbours::kNMinusFMinus2, Scores::kSketched};
  request.dimension = 10'000;
  request.max_updates = request.minimum_cohort = 100;
  const auto sketch_bytes = [](const Plan& plan, const std::string& what) -> std::size_t {
    for (const MemoryItem& item : plan.memory)
      if (item.what == what) return item.bytes;
    return 0;
  };
  constexpr std::size_t kRow = 4096 + 64;      // codes and their scales
  constexpr std::size_t kSums = 4096 * 8;      // of one update that is added
  constexpr std::size_t kPattern = 1024 * 12;  // signs and places of blocks
  constexpr std::size_t kTotal = 8 * 10'000;   // of all updates
  Plan plan = make_plan(request, cpu_backend()).value();
  EXPECT_TRUE(plan.sketched_on_arrival);
  EXPECT_EQ(sketch_bytes(plan, "sketches made on arrival"),
            100 * kRow + 16 * kSums + kPattern + kTotal);
  // A codec that has to be decoded first: one chunk of one update.
  request.format = {Codec::kEden, 10, 4};
  plan = make_plan(request, cpu_backend()).value();
  EXPECT_EQ(sketch_bytes(plan, "sketches made on arrival"),
            100 * kRow + kSums + kPattern + kTotal + 4 * 65'536);
}

TEST(MakePlan, MakesSketchesOfOneShardAtATimeWhereNoMoreFit) {
  PlanRequest request;
  request.rule = Krum{faulty(2), Neighbours::kNMinusFMinus2, Scores::kSketched};
  request.sharding = Sharding{250, 0.05};
  request.dimension = request.chunk_coordinates = 8192;
  request.max_updates = request.minimum_cohort = 1'000'000;
  EXPECT_TRUE(make_plan(request, cpu_backend()).value().sketched_on_arrival);
  request.memory_budget = 64 << 20;
  const Plan plan = make_plan(request, cpu_backend()).value();
  EXPECT_FALSE(plan.sketched_on_arrival);
  EXPECT_THAT(plan.describe(), HasSubstr("sketches of a shard made at the close 1.5 MiB"));
  EXPECT_LE(plan.peak_bytes, request.memory_budget);
  // Without shards a million updates are refused, and the numbers say why.
  request.sharding.reset();
  const Status refused = make_plan(request, cpu_backend()).status();
  EXPECT_EQ(refused.reason(), "memory_budget");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("gram matrix 7.3 TiB"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("sketches made on arrival 3.9 GiB"));
}

}  // namespace
}  // namespace muster::robust::testing
