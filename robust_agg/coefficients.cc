#include "robust_agg/coefficients.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "robust_agg/select.h"

namespace muster::robust {
namespace {

/// |x_i - z| for all rows, where z = sum c_i x_i and the rest of the weight lies at the origin.
/// With w all weights, adding up to 1, and D the squared distances: |x_i - z|^2 = (Dw)_i - w'Dw
/// / 2.
std::vector<double> distances_to(const Cloud& cloud, const std::vector<double>& coefficients) {
  const std::size_t n = cloud.n;
  const double origin = 1 - std::accumulate(coefficients.begin(), coefficients.end(), 0.0);
  std::vector<double> weighted(n);
  double inertia = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) weighted[i] += cloud.distances[i * n + j] * coefficients[j];
    weighted[i] += cloud.squared_norms[i] * origin;
    inertia += coefficients[i] * (weighted[i] + cloud.squared_norms[i] * origin);
  }
  for (double& distance : weighted) distance = std::sqrt(std::max(0.0, distance - inertia / 2));
  return weighted;
}

/// sum h(r) over the distances, which no Weiszfeld step raises: h(r) = r, below the smoothing s
/// (r^2 + s^2) / 2s.
double smoothed_sum(const std::vector<double>& distances, double smoothing) {
  double sum = 0;
  for (const double r : distances)
    sum += r > smoothing ? r : (r * r + smoothing * smoothing) / (2 * smoothing);
  return sum;
}

}  // namespace

std::vector<std::uint32_t> krum_rows(const Cloud& cloud, const KrumParameters& parameters) {
  const auto scores =
      score_bounds(GramDistances::of_table(cloud.distances, cloud.n), parameters.q).least;
  std::vector<std::uint32_t> rows(cloud.n);
  std::iota(rows.begin(), rows.end(), 0u);
  std::stable_sort(rows.begin(), rows.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return scores[a] < scores[b]; });
  rows.resize(parameters.m);
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<double> geometric_median_coefficients(const Cloud& cloud, const GeometricMedian& rule) {
  const double smoothing = rule.smoothing;
  MUSTER_CHECK(smoothing > 0);
  const double first = rule.start == Start::kMean ? 1.0 / cloud.n : 0;
  std::vector<double> coefficients(cloud.n, first), distances = distances_to(cloud, coefficients);
  double before = smoothed_sum(distances, smoothing);
  for (std::uint32_t step = 0; step < rule.iterations; ++step) {
    double total = 0;
    for (std::uint32_t i = 0; i < cloud.n; ++i)
      total += coefficients[i] = smoothing / std::max(smoothing, distances[i]);
    for (double& coefficient : coefficients) coefficient /= total;
    if (step + 1 == rule.iterations) break;
    distances = distances_to(cloud, coefficients);
    const double after = smoothed_sum(distances, smoothing);
    if (rule.tolerance > 0 && before - after <= rule.tolerance * after) break;
    before = after;
  }
  return coefficients;
}

std::vector<double> centred_clipping_coefficients(const Cloud& cloud, const CentredClipping& rule) {
  MUSTER_CHECK(rule.tau > 0);
  const double n = cloud.n;
  std::vector<double> coefficients(cloud.n);
  for (std::uint32_t step = 0; step < rule.iterations; ++step) {
    std::vector<double> factors = distances_to(cloud, coefficients);
    for (double& factor : factors) factor = clip_factor(factor, rule.tau);
    const double kept = 1 - std::accumulate(factors.begin(), factors.end(), 0.0) / n;
    for (std::uint32_t i = 0; i < cloud.n; ++i)
      coefficients[i] = kept * coefficients[i] + factors[i] / n;
  }
  return coefficients;
}

}  // namespace muster::robust
