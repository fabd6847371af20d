// Rules and pre-steps from their definitions, on plain numbers: slow, and written to be read. Rows
// are in rank order, so that the lower index wins ties.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "robust_agg/pre_step.h"
#include "tests/robust_agg/row_reference.h"

namespace muster::robust::testing {

inline double squared_distance(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
  return sum;
}
inline double norm(const Vector& x) { return std::sqrt(squared_distance(x, Vector(x.size()))); }

inline Vector mean_of_rows(const Rows& rows) {
  Vector mean(rows[0].size());
  for (const Vector& row : rows)
    for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += row[k];
  for (double& x : mean) x /= static_cast<double>(rows.size());
  return mean;
}
inline Rows chosen(const Rows& rows, const std::vector<std::uint32_t>& which) {
  Rows some;
  for (const std::uint32_t i : which) some.push_back(rows[i]);
  return some;
}

/// f(sorted column) for every coordinate.
template <class Function>
Vector by_column(const Rows& rows, const Function& function) {
  Vector result;
  for (std::size_t k = 0; k < rows[0].size(); ++k) {
    Vector column;
    for (const Vector& row : rows) column.push_back(row[k]);
    std::sort(column.begin(), column.end());
    result.push_back(function(column));
  }
  return result;
}
inline double trimmed(const Vector& column, std::size_t cut) {
  const auto begin = column.begin() + static_cast<std::ptrdiff_t>(cut);
  const auto end = column.end() - static_cast<std::ptrdiff_t>(cut);
  return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
}
inline double middle(const Vector& column) { return trimmed(column, (column.size() - 1) / 2); }
/// The mean of the `keep` values nearest the centre; values as far as the last share its place.
inline double nearest_mean(const Vector& column, double centre, std::size_t keep) {
  Vector distances;
  for (const double x : column) distances.push_back(std::abs(x - centre));
  std::sort(distances.begin(), distances.end());
  const double reach = distances[keep - 1], slack = 1e-12 * (1 + reach);
  double near = 0, tied = 0, ties = 0, places = static_cast<double>(keep);
  for (const double x : column) {
    const double distance = std::abs(x - centre);
    if (distance < reach - slack)
      near += x, --places;
    else if (distance <= reach + slack)
      tied += x, ++ties;
  }
  return (near + places * tied / ties) / static_cast<double>(keep);
}

/// Rows by Krum score over the q nearest others, best first.
inline std::vector<std::uint32_t> krum_order(const Rows& rows, std::size_t q) {
  Vector scores;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Vector distances;
    for (std::size_t j = 0; j < rows.size(); ++j)
      if (j != i) distances.push_back(squared_distance(rows[i], rows[j]));
    std::sort(distances.begin(), distances.end());
    scores.push_back(std::accumulate(distances.begin(),
                                     distances.begin() + static_cast<std::ptrdiff_t>(q), 0.0));
  }
  std::vector<std::uint32_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return scores[a] < scores[b]; });
  return order;
}

/// theta = n - 2f rows, each the Krum winner of those left; in order of election.
inline std::vector<std::uint32_t> bulyan_order(const Rows& rows, std::size_t f) {
  std::vector<std::uint32_t> left(rows.size()), elected;
  std::iota(left.begin(), left.end(), 0u);
  while (elected.size() < rows.size() - 2 * f) {
    const auto n = static_cast<std::ptrdiff_t>(left.size());
    const auto q =
        std::min(n - 1, std::max<std::ptrdiff_t>(1, n - static_cast<std::ptrdiff_t>(f) - 2));
    const std::uint32_t winner = krum_order(chosen(rows, left), static_cast<std::size_t>(q))[0];
    elected.push_back(left[winner]);
    left.erase(left.begin() + winner);
  }
  return elected;
}

/// Tries every subset of n - f rows, in lexicographic order.
inline std::vector<std::uint32_t> mda_rows(const Rows& rows, std::size_t f) {
  std::vector<bool> in(rows.size(), true);
  std::fill(in.end() - static_cast<std::ptrdiff_t>(f), in.end(), false);
  std::vector<std::uint32_t> best;
  double least = INFINITY;
  do {
    std::vector<std::uint32_t> subset;
    for (std::uint32_t i = 0; i < rows.size(); ++i)
      if (in[i]) subset.push_back(i);
    double diameter = 0;
    for (const std::uint32_t i : subset)
      for (const std::uint32_t j : subset)
        diameter = std::max(diameter, squared_distance(rows[i], rows[j]));
    if (diameter < least) least = diameter, best = subset;
  } while (std::prev_permutation(in.begin(), in.end()));
  return best;
}

inline Rows scaled_rows(Rows rows, double bound) {
  for (Vector& row : rows)
    if (const double length = norm(row); length > bound)
      for (double& x : row) x *= bound / length;
  return rows;
}

inline Rows nnm_rows(const Rows& rows, std::size_t f) {
  Rows mixed;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<std::uint32_t> others;
    for (std::uint32_t j = 0; j < rows.size(); ++j)
      if (j != i) others.push_back(j);
    std::stable_sort(others.begin(), others.end(), [&](std::uint32_t a, std::uint32_t b) {
      return squared_distance(rows[i], rows[a]) < squared_distance(rows[i], rows[b]);
    });
    others.resize(rows.size() - f - 1);
    others.push_back(static_cast<std::uint32_t>(i));
    std::sort(others.begin(), others.end());  // equal sets, equal means
    mixed.push_back(mean_of_rows(chosen(rows, others)));
  }
  return mixed;
}

/// `n`: rows before the first step.
inline Rows after_step(const PreStep& step, const Rows& rows, std::uint32_t n) {
  if (const auto* clipping = std::get_if<Clipping>(&step))
    return scaled_rows(rows, clipping->clip_norm);
  if (const auto* clipping = std::get_if<AdaptiveClipping>(&step)) {
    Vector norms;
    for (const Vector& row : rows) norms.push_back(norm(row));
    std::sort(norms.begin(), norms.end(), std::greater<>());
    const std::size_t f = clipping->f.of(n);
    return scaled_rows(rows, norms[2 * f * (n - f) / n]);
  }
  if (const auto* mixing = std::get_if<NeighbourMixing>(&step))
    return nnm_rows(rows, mixing->f.of(n));
  Rows mixed;
  const std::size_t size = std::get<Bucketing>(step).size;
  for (std::size_t begin = 0; begin < rows.size(); begin += size)
    mixed.push_back(mean_of_rows(
        {rows.begin() + static_cast<std::ptrdiff_t>(begin),
         rows.begin() + static_cast<std::ptrdiff_t>(std::min(rows.size(), begin + size))}));
  return mixed;
}

inline Vector after_rule(const Rule& rule, const Rows& rows, std::size_t f) {
  const std::size_t n = rows.size();
  const auto krum = [&](std::size_t m, Neighbours neighbours) {
    auto order = krum_order(rows, n - f - (neighbours == Neighbours::kNMinusFMinus2 ? 2 : 1));
    order.resize(m);
    return mean_of_rows(chosen(rows, order));
  };
  if (std::holds_alternative<Median>(rule)) return by_column(rows, middle);
  if (std::holds_alternative<TrimmedMean>(rule))
    return by_column(rows, [&](const Vector& column) { return trimmed(column, f); });
  if (std::holds_alternative<Meamed>(rule))
    return by_column(
        rows, [&](const Vector& column) { return nearest_mean(column, middle(column), n - f); });
  if (std::holds_alternative<Phocas>(rule))
    return by_column(rows, [&](const Vector& column) {
      return nearest_mean(column, trimmed(column, f), n - f);
    });
  if (const auto* one = std::get_if<Krum>(&rule)) return krum(1, one->neighbours);
  if (const auto* many = std::get_if<MultiKrum>(&rule))
    return krum(many->m == 0 ? n - f - 2 : many->m, many->neighbours);
  if (std::holds_alternative<Mda>(rule)) return mean_of_rows(chosen(rows, mda_rows(rows, f)));
  if (std::holds_alternative<Bulyan>(rule))
    return by_column(chosen(rows, bulyan_order(rows, f)), [&](const Vector& column) {
      return nearest_mean(column, middle(column), n - 4 * f);
    });
  if (const auto* median = std::get_if<GeometricMedian>(&rule))
    return reference_geometric_median(rows, Vector(n, 1.0), median->smoothing,
                                      static_cast<int>(median->iterations), mean_of_rows(rows));
  if (const auto* clipping = std::get_if<CentredClipping>(&rule))
    return reference_centred_clipping(rows, Vector(n, 1.0), clipping->tau,
                                      static_cast<int>(clipping->iterations),
                                      Vector(rows[0].size()));
  MUSTER_CHECK(std::holds_alternative<Mean>(rule));
  return mean_of_rows(rows);
}

inline Vector reference_result(std::span<const PreStep> steps, const Rule& rule, Rows rows) {
  const auto n = static_cast<std::uint32_t>(rows.size());
  for (const PreStep& step : steps) rows = after_step(step, rows, n);
  return after_rule(rule, rows, fault_bound(rule).of(n));
}

}  // namespace muster::robust::testing
