#include "robust_agg/cloud.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace muster::robust {

void Mixing::add(std::span<const std::uint32_t> row) {
  members.insert(members.end(), row.begin(), row.end());
  bounds.push_back(static_cast<std::uint32_t>(members.size()));
}

Mixing buckets(std::uint32_t n, std::uint32_t size) {
  std::vector<std::uint32_t> rows(n);
  std::iota(rows.begin(), rows.end(), 0u);
  Mixing mixing;
  for (std::uint32_t begin = 0; begin < n; begin += std::min(size, n - begin))
    mixing.add(std::span(rows).subspan(begin, std::min(size, n - begin)));
  return mixing;
}

Mixing nearest_neighbours(const Cloud& cloud, std::uint32_t f) {
  const std::uint32_t n = cloud.n;
  MUSTER_CHECK_OP(f, <, n);
  Mixing mixing;
  std::vector<std::uint32_t> row;
  for (std::uint32_t i = 0; i < n; ++i) {
    row.resize(n);
    std::iota(row.begin(), row.end(), 0u);
    // The row itself comes first whatever lies at distance 0.
    std::swap(row[0], row[i]);
    const auto nearer = [&](std::uint32_t a, std::uint32_t b) {
      const double to_a = cloud.distance(i, a), to_b = cloud.distance(i, b);
      return to_a != to_b ? to_a < to_b : a < b;
    };
    const auto last = row.begin() + (n - f);
    if (f > 0) std::nth_element(row.begin() + 1, last, row.end(), nearer);
    row.resize(n - f);
    std::sort(row.begin(), row.end());
    mixing.add(row);
  }
  return mixing;
}

Cloud scaled(Cloud cloud, std::span<const double> factors) {
  MUSTER_CHECK_OP(factors.size(), ==, std::size_t{cloud.n});
  for (std::uint32_t i = 0; i < cloud.n; ++i)
    for (std::uint32_t j = 0; j < cloud.n; ++j) {
      // |a x - b y|^2 = a b |x - y|^2 + (a - b) (a |x|^2 - b |y|^2): nothing cancels for a = b.
      const double a = factors[i], b = factors[j];
      double& entry = cloud.distances[std::size_t{i} * cloud.n + j];
      entry = std::max(
          0.0, a * b * entry + (a - b) * (a * cloud.squared_norms[i] - b * cloud.squared_norms[j]));
    }
  for (std::uint32_t i = 0; i < cloud.n; ++i) cloud.squared_norms[i] *= factors[i] * factors[i];
  return cloud;
}

Cloud mixed(const Cloud& cloud, const Mixing& mixing) {
  const std::size_t n = cloud.n, rows = mixing.n();
  // With a and b the shares of two mixed rows, each adding up to 1, and D the squared distances,
  // their squared distance is a'Db - (a'Da + b'Db) / 2. `sums` holds the same with counts for
  // shares.
  std::vector<double> to_row(n), sums(rows * rows), from_origin(rows);
  for (std::uint32_t r = 0; r < rows; ++r) {
    std::fill(to_row.begin(), to_row.end(), 0.0);
    for (const std::uint32_t i : mixing.row(r)) {
      from_origin[r] += cloud.squared_norms[i];
      for (std::size_t j = 0; j < n; ++j) to_row[j] += cloud.distances[i * n + j];
    }
    for (std::uint32_t s = r; s < rows; ++s) {
      double sum = 0;
      for (const std::uint32_t j : mixing.row(s)) sum += to_row[j];
      sums[r * rows + s] = sums[s * rows + r] = sum;
    }
  }
  const auto count = [&](std::uint32_t r) { return static_cast<double>(mixing.row(r).size()); };
  Cloud result{mixing.n(), std::vector<double>(rows * rows), std::vector<double>(rows)};
  for (std::uint32_t r = 0; r < rows; ++r) {
    const double own = sums[r * rows + r];
    result.squared_norms[r] =
        std::max(0.0, from_origin[r] / count(r) - own / 2 / (count(r) * count(r)));
    for (std::uint32_t s = 0; s < r; ++s) {
      const double other = sums[s * rows + s], both = sums[r * rows + s];
      const double squared =
          count(r) == count(s)
              ? (both - (own + other) / 2) / (count(r) * count(r))
              : both / (count(r) * count(s)) -
                    (own / (count(r) * count(r)) + other / (count(s) * count(s))) / 2;
      result.distances[r * rows + s] = result.distances[s * rows + r] = std::max(0.0, squared);
    }
  }
  return result;
}

std::vector<double> unmixed(const Mixing& mixing, std::span<const double> coefficients,
                            std::uint32_t n) {
  MUSTER_CHECK_OP(coefficients.size(), ==, std::size_t{mixing.n()});
  std::vector<double> result(n);
  for (std::uint32_t r = 0; r < mixing.n(); ++r)
    for (const std::uint32_t i : mixing.row(r))
      result[i] += coefficients[r] / static_cast<double>(mixing.row(r).size());
  return result;
}

double clip_factor(double norm, double bound) { return norm <= bound ? 1 : bound / norm; }

std::vector<double> adaptive_factors(std::span<const double> squared_norms, std::uint32_t f) {
  const std::uint64_t n = squared_norms.size();
  MUSTER_CHECK_OP(std::uint64_t{f}, <, n);
  const std::uint64_t clipped = 2 * std::uint64_t{f} * (n - f) / n;
  std::vector<double> longest(squared_norms.begin(), squared_norms.end());
  std::sort(longest.begin(), longest.end(), std::greater<>());
  const double bound = std::sqrt(longest[clipped]);
  std::vector<double> factors;
  for (const double squared : squared_norms)
    factors.push_back(clip_factor(std::sqrt(squared), bound));
  return factors;
}

}  // namespace muster::robust
