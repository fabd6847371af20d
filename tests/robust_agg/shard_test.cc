#include "robust_agg/shard.h"

#include <gmock/gmock.h>

#include <limits>
#include <numeric>
#include <random>

#include "robust_agg/rank_order.h"
#include "tests/robust_agg/row_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::HasSubstr;

/// P(X > f) by logarithms of factorials.
double tail(double n, double faulty, double drawn, std::uint32_t f) {
  const auto choose = [](double a, double b) {
    return std::lgamma(a + 1) - std::lgamma(b + 1) - std::lgamma(a - b + 1);
  };
  double sum = 0;
  for (double k = f + 1.0; k <= std::min(drawn, faulty); ++k)
    if (drawn - k <= n - faulty)
      sum += std::exp(choose(faulty, k) + choose(n - faulty, drawn - k) - choose(n, drawn));
  return sum;
}

TEST(RankOrder, IsThatOfASortWhateverIsAskedFor) {
  std::mt19937_64 random(11);
  const auto check = [&](const std::vector<std::uint64_t>& ranks, std::size_t step) {
    std::vector<std::uint32_t> sorted(ranks.size());
    std::iota(sorted.begin(), sorted.end(), 0u);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return ranks[a] < ranks[b]; });
    RankOrder order(ranks);
    const auto expect = [&](std::size_t first) {
      const std::size_t last = std::min(first + step, ranks.size());
      const auto rows = order.rows(first, last);
      ASSERT_EQ(std::vector<std::uint32_t>(rows.begin(), rows.end()),
                std::vector<std::uint32_t>(sorted.begin() + static_cast<std::ptrdiff_t>(first),
                                           sorted.begin() + static_cast<std::ptrdiff_t>(last)))
          << ranks.size() << " ranks from " << first;
    };
    for (std::size_t first = 0; first < ranks.size(); first += step) expect(first);
    if (!ranks.empty()) expect(ranks.size() / 3);  // and back again
  };
  std::vector<std::uint64_t> hashes(200'000), few(200'000), consecutive(70'000);
  for (std::uint64_t& rank : hashes) rank = random();
  for (std::uint64_t& rank : few) rank = random() % 3 * (~std::uint64_t{0} / 2);  // ties, and ends
  for (std::size_t i = 0; i < consecutive.size(); ++i) consecutive[i] = consecutive.size() - i;
  check(hashes, 333);
  check(hashes, 100'000);
  check(few, 777);
  check(consecutive, 256);
  check({}, 1);
  check({7}, 1);
  check({7, 7, 0}, 2);
}

TEST(FaultyInShard, ReproducesTheTable) {
  constexpr std::uint32_t kSizes[] = {64, 128, 256, 512, 1024, 4096};
  struct Line {
    double share;
    std::uint32_t f[6];
  };
  // 0: a shard of this size cannot be robust.
  constexpr Line kTable[] = {{0.001, {7, 8, 9, 11, 14, 24}},
                             {0.01, {13, 16, 21, 28, 39, 91}},
                             {0.05, {22, 31, 44, 67, 107, 306}},
                             {0.10, {29, 43, 66, 105, 176, 546}},
                             {0.20, {0, 63, 102, 171, 299, 998}}};
  constexpr std::uint32_t kDevices = 1'000'000;
  for (const Line& line : kTable)
    for (std::size_t column = 0; column < std::size(kSizes); ++column) {
      const std::uint32_t size = kSizes[column];
      SCOPED_TRACE("share " + std::to_string(line.share) + " size " + std::to_string(size));
      const std::uint32_t faulty = FaultBound{std::nullopt, line.share}.of(kDevices);
      const std::uint32_t f =
          faulty_in_shard(kDevices, faulty, size, divide_up(kDevices, size), 1e-9);
      if (line.f[column] == 0)
        EXPECT_GT(2 * f + 1, size);
      else
        EXPECT_EQ(f, line.f[column]);
    }
}

TEST(FaultyInShard, IsTheLeastBoundOfTheHypergeometricTail) {
  std::mt19937_64 random(9);
  for (int trial = 0; trial < 300; ++trial) {
    const auto n = static_cast<std::uint32_t>(20 + random() % 5000);
    const auto faulty = static_cast<std::uint32_t>(random() % (n / 2));
    const auto drawn = static_cast<std::uint32_t>(1 + random() % n);
    const std::uint32_t shards = divide_up(n, drawn);
    SCOPED_TRACE(std::to_string(faulty) + " of " + std::to_string(n) + ", drawn " +
                 std::to_string(drawn));
    const std::uint32_t f = faulty_in_shard(n, faulty, drawn, shards, 1e-9);
    EXPECT_LE(shards * tail(n, faulty, drawn, f), 1e-9 * (1 + 1e-6));
    if (f > 0) {
      EXPECT_GT(shards * tail(n, faulty, drawn, f - 1), 1e-9 * (1 - 1e-6));
    }
  }
  EXPECT_EQ(faulty_in_shard(100, 7, 100, 1, 1e-9), 7u) << "all are drawn";
  EXPECT_EQ(faulty_in_shard(1'000'000, 0, 64, 15'625, 1e-9), 0u);
}

TEST(FaultyInShard, HoldsForTheLargestCohorts) {
  // 38 deviations of a shard are all that is ever walked; checks of a task stay quick.
  EXPECT_TRUE(check_shards({65'536, 0.3}, TrimmedMean{}, 1u << 20, 1u << 24).ok());
  EXPECT_TRUE(check_shards({1u << 20, 0.3}, TrimmedMean{}, 1u << 20, 1u << 24).ok());
  EXPECT_TRUE(check_shards({16, 0}, TrimmedMean{}, 1, 1u << 24).ok());
}

TEST(Shards, DifferBySizeOneAtMost) {
  for (std::uint32_t n = 1; n < 400; ++n) {
    const Shards shards = make_shards({50, 0}, Mean{}, n).value();
    EXPECT_EQ(shards.count, divide_up(n, 50u));
    EXPECT_LE(shards.largest, 50u);
    EXPECT_LE(shards.largest, shards.smallest + 1);
    EXPECT_LE(shards.smallest * shards.count, n);
    EXPECT_GE(shards.largest * shards.count, n);
  }
}

TEST(Shards, RefuseWhatAShardCannotCarryWithTheNumbers) {
  EXPECT_EQ(make_shards({64, 0.1}, Krum{}, 1'000'000).status().ok(), true);
  EXPECT_EQ(make_shards({64, 0.15}, TrimmedMean{}, 1'000'000).status().to_string(),
            "shard_bound: 1000000 updates, 150000 of them faulty, in 15625 shards of 64 to 64 can "
            "leave 35 faulty in one; trimmed_mean then needs shards of 71: raise shard_size or "
            "lower byzantine_share");
  // One cohort is one shard; one more device makes two, each half as large.
  EXPECT_TRUE(make_shards({64, 0.45}, TrimmedMean{}, 64).ok());
  EXPECT_EQ(make_shards({64, 0.45}, TrimmedMean{}, 65).status().reason(), "shard_bound");
  EXPECT_EQ(check_shards({64, 0.45}, TrimmedMean{}, 60, 64).ok(), true);
  EXPECT_EQ(check_shards({64, 0.45}, TrimmedMean{}, 60, 65).reason(), "shard_bound");
  EXPECT_TRUE(check_shards({256, 0.05}, TrimmedMean{}, 5000, 1'000'000).ok());
}

TEST(Sharding, ReadsItsParameters) {
  EXPECT_FALSE(parse_sharding(Median{}, {}).value().has_value());
  const RuleParameters asked{.byzantine_share = 0.1, .shard_size = 256};
  const Rule median = parse_rule("median", asked).value();
  const Sharding sharding = parse_sharding(median, asked).value().value();
  EXPECT_EQ(to_string(sharding), "in shards of 256, byzantine_share=0.1, failure=1e-09");
  const auto refusal = [](const Rule& rule, const RuleParameters& parameters) {
    return parse_sharding(rule, parameters).status().to_string();
  };
  EXPECT_THAT(refusal(Krum{}, {.f = 3, .shard_size = 64}), HasSubstr("needs byzantine_share"));
  EXPECT_THAT(refusal(FlTrust{}, asked), HasSubstr("rule_parameter: fltrust takes no shard_size"));
  EXPECT_THAT(refusal(Krum{}, {.byzantine_share = 0.1, .shard_size = 0}),
              HasSubstr("shard_size must be in [1, "));
  for (const double share : {0.5, -0.1, double(NAN)})
    EXPECT_THAT(refusal(Median{}, {.byzantine_share = share, .shard_size = 64}),
                HasSubstr("[0, 0.5)"));
}

Rows random_rows(std::size_t n, std::size_t d, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Rows rows(n, Vector(d));
  for (Vector& row : rows)
    for (double& x : row) x = static_cast<float>(normal(random));
  return rows;
}

Rule faulty_rule(int kind) {
  switch (kind) {
    case 0:
      return TrimmedMean{{std::nullopt, 0.05}};
    case 1:
      return Median{};
    case 2:
      return MultiKrum{{std::nullopt, 0.05}};
    case 3:
      return GeometricMedian{1e-3, 5};
    case 4:
      return CentredClipping{1, 2};
    default:
      return Cge{{std::nullopt, 0.05}};
  }
}

TEST(Sharding, IsTheMeanOfTheRuleOnEachShard) {
  std::mt19937_64 random(1);
  const std::size_t n = 103, d = 7;
  const Rows rows = random_rows(n, d, random);
  for (int kind = 0; kind < 6; ++kind) {
    Conditions conditions{.rule = faulty_rule(kind), .chunk_coordinates = 3};
    SCOPED_TRACE(to_string(conditions.rule));
    for (std::size_t i = 0; i < n; ++i) conditions.ranks.push_back(random());
    conditions.previous.assign(d, 0.25f);
    conditions.sharding = Sharding{40, 0.05};
    const Answer answer = run(conditions, rows);
    ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
    EXPECT_EQ(answer.outcome.divisor, 3);
    EXPECT_EQ(answer.outcome.n, n);
    EXPECT_LE(answer.most_rows, 35u) << "memory is that of one shard";
    EXPECT_THAT(answer.outcome.chosen, HasSubstr("mean of 3 shards of 34 to 35 updates"));

    // By hand: rows in the order of their ranks, cut in three.
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return conditions.ranks[a] < conditions.ranks[b];
    });
    std::vector<std::int64_t> expected(d);
    std::vector<std::uint32_t> selected;
    for (std::size_t shard = 0; shard < 3; ++shard) {
      std::vector<std::size_t> members(
          order.begin() + static_cast<std::ptrdiff_t>(shard * n / 3),
          order.begin() + static_cast<std::ptrdiff_t>((shard + 1) * n / 3));
      std::sort(members.begin(), members.end());
      Conditions part{.rule = with_faults(conditions.rule, answer.outcome.f),
                      .chunk_coordinates = 3,
                      .previous = conditions.previous};
      Rows part_rows;
      for (const std::size_t i : members) {
        part_rows.push_back(rows[i]);
        part.ranks.push_back(conditions.ranks[i]);
      }
      const Answer one = run_on(cpu_backend(), part, part_rows);
      ASSERT_TRUE(one.status.ok()) << one.status.to_string();
      for (std::size_t k = 0; k < d; ++k)
        expected[k] += static_cast<std::int64_t>(
            std::nearbyint(static_cast<double>(one.sum[k]) / one.outcome.divisor));
      for (const std::uint32_t row : one.outcome.selected.rows())
        selected.push_back(static_cast<std::uint32_t>(members[row]));
    }
    std::sort(selected.begin(), selected.end());
    EXPECT_EQ(answer.sum, expected);
    EXPECT_EQ(answer.outcome.selected.rows(), selected);
  }
}

TEST(Sharding, DoesNotDependOnTheOrderOfRows) {
  std::mt19937_64 random(2);
  const std::size_t n = 90;
  const Rows rows = random_rows(n, 5, random);
  for (int kind = 0; kind < 6; ++kind) {
    Conditions conditions{.rule = faulty_rule(kind), .sharding = Sharding{45, 0.05}};
    SCOPED_TRACE(to_string(conditions.rule));
    for (std::size_t i = 0; i < n; ++i) conditions.ranks.push_back(random());
    const Answer expected = run_on(cpu_backend(), conditions, rows);
    ASSERT_TRUE(expected.status.ok()) << expected.status.to_string();
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    Conditions shuffled = conditions;
    Rows moved;
    for (std::size_t i = 0; i < n; ++i) {
      moved.push_back(rows[order[i]]);
      shuffled.ranks[i] = conditions.ranks[order[i]];
    }
    EXPECT_EQ(run_on(cpu_backend(), shuffled, moved).sum, expected.sum);
  }
}

TEST(Sharding, ChecksEachShardAgainWithoutInvalidRows) {
  std::mt19937_64 random(4);
  Rows rows = random_rows(60, 2, random);
  Conditions conditions{.rule = TrimmedMean{{std::nullopt, 0.1}}, .sharding = Sharding{30, 0.1}};
  const Answer whole = run(conditions, rows);
  ASSERT_TRUE(whole.status.ok()) << whole.status.to_string();
  const std::uint32_t spare = 30 - (2 * whole.outcome.f + 1);
  // Ranks are the row indices: the first 30 rows are the first shard.
  for (std::uint32_t i = 0; i <= spare; ++i) {
    rows[i][0] = std::numeric_limits<double>::quiet_NaN();
    const Answer answer = run(conditions, rows);
    if (i == spare) {
      EXPECT_EQ(answer.status.reason(), "cohort_too_small");
    } else {
      EXPECT_EQ(answer.outcome.invalid, i + 1);
      EXPECT_EQ(answer.outcome.n, 59 - i);
    }
  }
  conditions.sharding = Sharding{30, 0.45};
  EXPECT_EQ(run(conditions, rows).status.reason(), "shard_bound");
}

TEST(Sharding, PlansForOneShard) {
  PlanRequest request;
  request.rule = MultiKrum{{std::nullopt, 0.01}};
  request.dimension = 1'000'000;
  request.max_updates = 1'000'000;
  request.minimum_cohort = 1'000'000;
  request.sharding = Sharding{256, 0.01};
  request.memory_budget = 200 << 20;
  const Plan plan = make_plan(request, ReferenceBackend()).value();
  EXPECT_EQ(plan.rows_at_once(), 256u);
  EXPECT_FALSE(plan.resident);
  EXPECT_THAT(plan.describe(), HasSubstr("shard sum 7.6 MiB, gram matrix 512.0 KiB"));
  EXPECT_THAT(plan.describe(), HasSubstr("codes of one chunk of a shard 64.0 MiB"));
  request.rule = Mean{};
  EXPECT_FALSE(make_plan(request, ReferenceBackend()).value().streaming);
  request.rule = Krum{};
  request.sharding = Sharding{64, 0.2};
  EXPECT_EQ(make_plan(request, ReferenceBackend()).status().reason(), "shard_bound");
}

TEST(Sharding, HoldsAgainstAShareOfAttackersInEveryShard) {
  std::mt19937_64 random(6);
  const std::size_t n = 2000, bad = 100;
  Rows rows = random_rows(n, 3, random);
  for (std::size_t i = 0; i < bad; ++i) rows[i].assign(3, 60);
  Conditions conditions{.rule = TrimmedMean{{std::nullopt, 0.05}}, .sharding = Sharding{200, 0.05}};
  for (std::size_t i = 0; i < n; ++i) conditions.ranks.push_back(random());
  const Answer answer = run_on(cpu_backend(), conditions, rows);
  ASSERT_TRUE(answer.status.ok()) << answer.status.to_string();
  EXPECT_LT(distance(answer.values, Vector(3)), 0.5);
}

}  // namespace
}  // namespace muster::robust::testing
