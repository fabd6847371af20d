// The row rules in plain f64 loops, straight from their definitions: slow, and sharing nothing with
// the rules but those.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/robust_agg/encode.h"

namespace muster::robust::testing {

inline double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}
inline double distance(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
  return std::sqrt(sum);
}

/// sum c_i x_i / sum c_i.
inline Vector weighted_mean(const Rows& rows, const Vector& weights) {
  Vector mean(rows[0].size());
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += weights[i] / total * rows[i][k];
  return mean;
}

inline Vector reference_geometric_median(const Rows& rows, const Vector& weights, double smoothing,
                                         int steps, Vector z) {
  for (int step = 0; step < steps; ++step) {
    Vector pulls;
    for (std::size_t i = 0; i < rows.size(); ++i)
      pulls.push_back(weights[i] / std::max(smoothing, distance(rows[i], z)));
    z = weighted_mean(rows, pulls);
  }
  return z;
}

inline Vector reference_centred_clipping(const Rows& rows, const Vector& weights, double tau,
                                         int steps, Vector v) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (int step = 0; step < steps; ++step) {
    Vector next = v;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double away = distance(rows[i], v);
      const double factor = away == 0 ? 1 : std::min(1.0, tau / away);
      for (std::size_t k = 0; k < v.size(); ++k)
        next[k] += weights[i] / total * factor * (rows[i][k] - v[k]);
    }
    v = next;
  }
  return v;
}

/// Mean of the m rows of least key; keys differ.
inline Vector reference_mean_of_least(const Rows& rows, const Vector& keys, std::size_t m) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return keys[a] < keys[b]; });
  Vector weights(rows.size());
  for (std::size_t k = 0; k < m; ++k) weights[order[k]] = 1;
  return weighted_mean(rows, weights);
}

inline Vector reference_cge(const Rows& rows, std::size_t f) {
  Vector norms;
  for (const Vector& row : rows) norms.push_back(dot(row, row));
  return reference_mean_of_least(rows, norms, rows.size() - f);
}

inline Vector reference_monna(const Rows& rows, std::size_t trusted, std::size_t f) {
  Vector distances;
  for (const Vector& row : rows) distances.push_back(distance(row, rows[trusted]));
  return reference_mean_of_least(rows, distances, rows.size() - f);
}

inline Vector reference_fltrust(const Rows& rows, std::size_t trusted) {
  const Vector& g = rows[trusted];
  const double norm = std::sqrt(dot(g, g));
  Vector result(g.size());
  double total = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double length = std::sqrt(dot(rows[i], rows[i]));
    if (i == trusted || length == 0 || norm == 0) continue;
    const double score = std::max(0.0, dot(rows[i], g) / length / norm);
    total += score;
    for (std::size_t k = 0; k < g.size(); ++k) result[k] += score * norm / length * rows[i][k];
  }
  if (total > 0)
    for (double& x : result) x /= total;
  return result;
}

inline Vector reference_sign_majority(const Rows& rows, double step) {
  Vector result;
  for (std::size_t k = 0; k < rows[0].size(); ++k) {
    int votes = 0;
    for (const Vector& row : rows) votes += row[k] > 0 ? 1 : row[k] < 0 ? -1 : 0;
    result.push_back(votes > 0 ? step : votes < 0 ? -step : 0);
  }
  return result;
}

/// Eigenvalues, descending, of a symmetric matrix by Jacobi rotations; `vectors` holds a row each.
inline Vector jacobi(Rows a, Rows& vectors) {
  const std::size_t d = a.size();
  vectors.assign(d, Vector(d));
  for (std::size_t i = 0; i < d; ++i) vectors[i][i] = 1;
  for (int sweep = 0; sweep < 60; ++sweep)
    for (std::size_t p = 0; p < d; ++p)
      for (std::size_t q = p + 1; q < d; ++q) {
        if (a[p][q] == 0) continue;
        const double angle = 0.5 * std::atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const double c = std::cos(angle), s = std::sin(angle);
        for (std::size_t k = 0; k < d; ++k) {
          const double x = a[p][k], y = a[q][k];
          a[p][k] = c * x - s * y, a[q][k] = s * x + c * y;
        }
        for (std::size_t k = 0; k < d; ++k) {
          const double x = a[k][p], y = a[k][q];
          a[k][p] = c * x - s * y, a[k][q] = s * x + c * y;
          const double u = vectors[p][k], v = vectors[q][k];
          vectors[p][k] = c * u - s * v, vectors[q][k] = s * u + c * v;
        }
      }
  std::vector<std::size_t> order(d);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto i, auto j) { return a[i][i] > a[j][j]; });
  Vector values;
  Rows sorted;
  for (const std::size_t i : order) {
    values.push_back(a[i][i]);
    sorted.push_back(vectors[i]);
  }
  vectors = sorted;
  return values;
}

/// From the d x d covariance. `clear` becomes false where the greatest two variances were within
/// 5 %: then the direction is a matter of rounding.
inline Vector reference_caf(const Rows& rows, std::size_t f, bool& clear) {
  const std::size_t n = rows.size(), d = rows[0].size();
  Vector weights(n, 1.0), best;
  double least = INFINITY;
  clear = true;
  while (best.empty() ||
         std::accumulate(weights.begin(), weights.end(), 0.0) > static_cast<double>(n - 2 * f)) {
    const Vector mean = weighted_mean(rows, weights);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    Rows covariance(d, Vector(d)), vectors;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < d; ++k)
        for (std::size_t l = 0; l < d; ++l)
          covariance[k][l] += weights[i] / total * (rows[i][k] - mean[k]) * (rows[i][l] - mean[l]);
    const Vector values = jacobi(covariance, vectors);
    if (d > 1 && values[1] > 0.95 * values[0]) clear = false;
    if (values[0] < least) least = values[0], best = mean;
    Vector scores;
    double greatest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      scores.push_back(std::pow(dot(rows[i], vectors[0]) - dot(mean, vectors[0]), 2));
      if (weights[i] > 0) greatest = std::max(greatest, scores[i]);
    }
    if (greatest == 0) break;
    for (std::size_t i = 0; i < n; ++i)
      if (weights[i] > 0) weights[i] *= 1 - scores[i] / greatest;
  }
  return best;
}

}  // namespace muster::robust::testing
