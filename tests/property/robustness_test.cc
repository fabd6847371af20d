// What the papers promise: whatever f rows do, the result stays within kappa mean squared
// deviations of the mean of the others (Allouah et al. 2023, "Fixing by mixing", definition 2).
#include <algorithm>
#include <numeric>

#include "tests/property/seed.h"
#include "tests/robust_agg/rule_reference.h"
#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

constexpr int kTrials = 400;

Vector mean_of(const Rows& rows, std::span<const std::size_t> subset) {
  Vector mean(rows[0].size());
  for (const std::size_t i : subset)
    for (std::size_t k = 0; k < mean.size(); ++k)
      mean[k] += rows[i][k] / static_cast<double>(subset.size());
  return mean;
}

/// |F - mean_S|^2 over the mean squared deviation within S: what kappa bounds for every S of n - f.
double kappa_of(const Rows& rows, const Vector& result, std::span<const std::size_t> subset) {
  const Vector mean = mean_of(rows, subset);
  double deviation = 0;
  for (const std::size_t i : subset) deviation += squared_distance(rows[i], mean);
  deviation /= static_cast<double>(subset.size());
  return squared_distance(result, mean) / std::max(deviation, 1e-12);
}

/// The attacks of docs/rules.md on the last f rows; the others are honest and not alike.
Rows attacked_cohort(std::size_t n, std::size_t f, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  const std::size_t d = 1 + random() % 6, honest = n - f;
  Rows rows(n, Vector(d));
  const double tail = uniform(random) < 0.5 ? 1 : 3;
  for (std::size_t i = 0; i < honest; ++i)
    for (double& x : rows[i]) x = std::clamp(std::pow(normal(random), tail), -8.0, 8.0);
  std::vector<std::size_t> good(honest);
  std::iota(good.begin(), good.end(), std::size_t{0});
  const Vector mean = mean_of(rows, good);
  Vector deviation(d);
  for (std::size_t i = 0; i < honest; ++i)
    for (std::size_t k = 0; k < d; ++k)
      deviation[k] += (rows[i][k] - mean[k]) * (rows[i][k] - mean[k]);
  for (double& x : deviation) x = std::sqrt(x / static_cast<double>(honest - 1));

  const auto attack = random() % 7;
  const double strength = std::exp(3 * normal(random));
  const std::size_t copied = random() % honest;
  for (std::size_t i = honest; i < n; ++i)
    for (std::size_t k = 0; k < d; ++k) {
      double& x = rows[i][k];
      switch (attack) {
        case 0:
          x = mean[k] - std::min(strength, 3.0) * deviation[k];
          break;  // ALIE
        case 1:
          x = rows[copied][k];
          break;  // mimic
        case 2:
          x = -strength * mean[k];
          break;  // inner product
        case 3:
          x = strength * normal(random);
          break;  // noise
        case 4:
          x = mean[k] + (k == 0 ? strength : 0);
          break;  // cluster beside
        case 5:
          x = 0;
          break;  // no update at all
        default:
          x = 60 * (k % 2 == 0 ? 1 : -1);
          break;  // as far as allowed
      }
      x = std::clamp(x, -60.0, 60.0);
    }
  for (Vector& row : rows)
    for (double& x : row) x = static_cast<float>(x);
  return rows;
}

struct Promise {
  const char* name;
  Rule (*rule)(std::uint32_t f);
  double (*kappa)(double r);  ///< of r = f / (n - 2f)
  bool mixed = false;         ///< behind NNM with the same f: 8f / (n - f) (kappa + 1)
};

const Promise kPromises[] = {
    {"trimmed_mean", [](std::uint32_t f) { return Rule(TrimmedMean{faulty(f)}); },
     [](double r) { return 6 * r * (1 + r); }},
    {"median", [](std::uint32_t) { return Rule(Median{}); },
     [](double r) { return 4 * (1 + r) * (1 + r); }},
    {"krum", [](std::uint32_t f) { return Rule(Krum{faulty(f)}); },
     [](double r) { return 6 * (1 + r); }},
    {"krum with n-f-1 neighbours",
     [](std::uint32_t f) {
       return Rule(Krum{faulty(f), Neighbours::kNMinusFMinus1});
     },
     [](double r) { return 6 * (1 + r); }},
    {"geometric_median",
     [](std::uint32_t) {
       return Rule(GeometricMedian{1e-6, 200, 1e-9});
     },
     [](double r) { return 4 * (1 + r) * (1 + r); }},
    // The paper has no constant for Multi-Krum; it is held to that of Krum.
    {"multi_krum", [](std::uint32_t f) { return Rule(MultiKrum{faulty(f)}); },
     [](double r) { return 6 * (1 + r); }},
    {"nnm and trimmed_mean", [](std::uint32_t f) { return Rule(TrimmedMean{faulty(f)}); },
     [](double r) { return 6 * r * (1 + r); }, true},
    {"nnm and median", [](std::uint32_t) { return Rule(Median{}); },
     [](double r) { return 4 * (1 + r) * (1 + r); }, true},
    {"nnm and krum", [](std::uint32_t f) { return Rule(Krum{faulty(f)}); },
     [](double r) { return 6 * (1 + r); }, true},
};

/// The worst ratio over the honest rows and some other subsets of n - f.
double worst_kappa(const Rows& rows, std::size_t f, const Vector& result, std::mt19937_64& random) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  double worst = 0;
  for (int subset = 0; subset < 10; ++subset) {
    worst = std::max(worst, kappa_of(rows, result, std::span(order).first(rows.size() - f)));
    std::shuffle(order.begin(), order.end(), random);
  }
  return worst;
}

double worst_kappa_of_trials(const Rule& rule, std::size_t n, std::size_t f,
                             const std::vector<PreStep>& pre_steps = {}) {
  double worst = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::mt19937_64 random = trial_random(trial);
    const Rows rows = attacked_cohort(n, f, random);
    const Answer answer = run_on(cpu_backend(), {.rule = rule, .pre_steps = pre_steps}, rows);
    EXPECT_TRUE(answer.status.ok()) << answer.status.to_string() << replay_hint(trial);
    worst = std::max(worst, worst_kappa(rows, f, answer.values, random));
  }
  return worst;
}

TEST(Robustness, StaysWithinKappaOfEveryMajority) {
  for (const auto& [n, f] :
       {std::pair<std::size_t, std::size_t>{10, 1}, {10, 2}, {10, 3}, {20, 4}, {20, 8}})
    for (const Promise& promise : kPromises) {
      const double r = static_cast<double>(f) / static_cast<double>(n - 2 * f);
      const auto bound = static_cast<std::uint32_t>(f);
      std::vector<PreStep> pre_steps;
      double kappa = promise.kappa(r);
      if (promise.mixed) {
        pre_steps.push_back(NeighbourMixing{faulty(bound)});
        kappa = 8 * static_cast<double>(f) / static_cast<double>(n - f) * (kappa + 1);
      }
      const double worst = worst_kappa_of_trials(promise.rule(bound), n, f, pre_steps);
      EXPECT_LE(worst, kappa) << promise.name << " n=" << n << " f=" << f << ", "
                              << replay_hint(-1);
      EXPECT_GT(worst, 0) << promise.name;
    }
}

TEST(Robustness, TheMeanPromisesNothing) {
  // The trials can tell: the mean breaks the loosest promise above.
  EXPECT_GT(worst_kappa_of_trials(Mean{}, 10, 2), 100);
}

TEST(Robustness, FewerThanHalfCannotDragTheMedian) {
  for (int trial = 0; trial < kTrials; ++trial) {
    std::mt19937_64 random = trial_random(trial);
    const std::size_t f = 1 + random() % 5;
    const Rows rows = attacked_cohort(2 * f + 1, f, random);
    const Answer median = run_on(cpu_backend(), {.rule = Median{}}, rows);
    const Answer trimmed =
        run_on(cpu_backend(), {.rule = TrimmedMean{faulty(static_cast<std::uint32_t>(f))}}, rows);
    EXPECT_EQ(median.sum, trimmed.sum) << "n = 2f + 1 leaves the middle value";
    for (std::size_t k = 0; k < rows[0].size(); ++k) {
      double least = rows[0][k], most = rows[0][k];
      for (std::size_t i = 0; i <= f; ++i) {
        least = std::min(least, rows[i][k]);
        most = std::max(most, rows[i][k]);
      }
      EXPECT_GE(median.values[k], least - median.resolution) << replay_hint(trial);
      EXPECT_LE(median.values[k], most + median.resolution) << replay_hint(trial);
    }
  }
}

}  // namespace
}  // namespace muster::robust::testing
