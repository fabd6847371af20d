#include "loadtest/attack_search.h"

#include <algorithm>
#include <cmath>

namespace muster::loadtest {
namespace {

constexpr int kQuestions = 20;
constexpr double kFirstStep = 10, kShorter = 0.8;
constexpr double kMostGamma = 1e3, kGammaStop = 1e-5;

double squared_distance(std::span<const double> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double away = a[k] - static_cast<double>(b[k]);
    sum += away * away;
  }
  return sum;
}

/// The largest squared distance to a row, or the sum of all.
double apart(std::span<const double> from, std::span<const std::vector<float>> rows, bool sums) {
  double sum = 0, most = 0;
  for (const auto& row : rows) {
    const double distance = squared_distance(from, row);
    sum += distance;
    most = std::max(most, distance);
  }
  return sums ? sum : most;
}

}  // namespace

double hidden_gamma(std::span<const std::vector<float>> rows, std::span<const double> mean,
                    std::span<const double> direction, bool sums) {
  double allowed = 0;
  for (const auto& row : rows)
    allowed = std::max(allowed, apart(std::vector<double>(row.begin(), row.end()), rows, sums));
  double low = 0, high = kMostGamma;
  std::vector<double> row(mean.size());
  while (high - low > kGammaStop) {
    const double gamma = (low + high) / 2;
    for (std::size_t k = 0; k < row.size(); ++k) row[k] = mean[k] + gamma * direction[k];
    (apart(row, rows, sums) <= allowed ? low : high) = gamma;
  }
  return low;
}

Result<double> most_damaging_scale(const std::function<Result<double>(double)>& damage) {
  double best = 0, step = kFirstStep;
  MUSTER_ASSIGN(double most, damage(best));
  int asked = 1;
  // Whether `scale` is worse for the server than all before.
  const auto improves = [&](double scale) -> Result<bool> {
    MUSTER_ASSIGN(const double done, damage(scale));
    ++asked;
    if (!(done > most)) return false;
    most = done;
    best = scale;
    return true;
  };
  for (bool growing = true; growing && asked < kQuestions;) {
    MUSTER_ASSIGN(growing, improves(best + step));
    step *= growing ? 2 : kShorter;
  }
  while (asked < kQuestions) {
    MUSTER_ASSIGN(bool moved, improves(best + step));
    if (!moved && best > step && asked < kQuestions) {
      MUSTER_ASSIGN(moved, improves(best - step));
    }
    if (!moved) step *= kShorter;
  }
  return best;
}

Result<double> optimal_epsilon(std::span<const std::vector<float>> honest,
                               std::span<const double> mean, std::size_t hostile, float bound,
                               const CohortRule& rule) {
  std::vector<std::vector<float>> cohort(honest.begin(), honest.end());
  cohort.resize(honest.size() + hostile, std::vector<float>(mean.size()));
  return most_damaging_scale([&](double epsilon) -> Result<double> {
    for (std::size_t i = honest.size(); i < cohort.size(); ++i)
      for (std::size_t k = 0; k < mean.size(); ++k)
        cohort[i][k] = std::clamp(static_cast<float>(-epsilon * mean[k]), -bound, bound);
    MUSTER_ASSIGN(const std::vector<float> answer, rule(cohort));
    return std::sqrt(squared_distance(mean, answer));
  });
}

}  // namespace muster::loadtest
