#include "robust_agg/select.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace muster::robust {

namespace {

std::vector<double> diagonal(std::span<const double> gram, std::size_t n) {
  MUSTER_CHECK_OP(gram.size(), ==, n * n);
  std::vector<double> entries(n);
  for (std::size_t i = 0; i < n; ++i) entries[i] = gram[i * n + i];
  return entries;
}

}  // namespace

GramDistances::GramDistances(std::span<const double> gram, std::uint32_t n, double relative_error)
    : GramDistances(gram, diagonal(gram, n), relative_error) {}

GramDistances::GramDistances(std::span<const double> gram, std::vector<double> squared_norms,
                             double relative_error, double absolute_error)
    : gram_(gram),
      squared_norms_(std::move(squared_norms)),
      n_(static_cast<std::uint32_t>(squared_norms_.size())),
      relative_error_(relative_error),
      absolute_error_(absolute_error) {
  MUSTER_CHECK(n_ > 0 && gram.size() % n_ == 0);
}

GramDistances GramDistances::of_table(std::span<const double> squared_distances, std::uint32_t n) {
  GramDistances distances(squared_distances, std::vector<double>(n), 0);
  distances.table_ = true;
  return distances;
}

double GramDistances::distance(std::uint32_t i, std::uint32_t j) const {
  const double entry = gram_[std::size_t{i} * n_ + j];
  if (table_) return entry;
  return std::max(0.0, squared_norms_[i] + squared_norms_[j] - 2 * entry);
}

double GramDistances::error(std::uint32_t i, std::uint32_t j) const {
  return relative_error_ * (squared_norms_[i] + squared_norms_[j]) + absolute_error_;
}

double GramDistances::least(std::uint32_t i, std::uint32_t j) const {
  return std::max(0.0, distance(i, j) - error(i, j));
}

double GramDistances::most(std::uint32_t i, std::uint32_t j) const {
  return distance(i, j) + error(i, j);
}

double smallest_sum(std::vector<double>& values, std::uint32_t q) {
  MUSTER_CHECK_OP(std::size_t{q}, <=, values.size());
  const auto end = values.begin() + q;
  std::nth_element(values.begin(), end, values.end());
  std::sort(values.begin(), end);
  double sum = 0;
  for (auto value = values.begin(); value != end; ++value) sum += *value;
  return sum;
}

namespace {

/// The same, added in any order.
double any_smallest_sum(std::vector<double>& values, std::uint32_t q) {
  MUSTER_CHECK_OP(std::size_t{q}, <=, values.size());
  const auto end = values.begin() + q;
  std::nth_element(values.begin(), end, values.end());
  return std::accumulate(values.begin(), end, 0.0);
}

/// Relative: adding q numbers that are not negative is off by less than q units in the last place.
double rounding_of_sum(const GramDistances& distances, std::uint32_t q) {
  return distances.exact() ? 0 : 2 * (q + 1) * 0x1p-52;
}

}  // namespace

ScoreBounds score_bounds(const GramDistances& distances, std::uint32_t q) {
  const std::uint32_t n = distances.n(), rows = distances.rows();
  ScoreBounds bounds{std::vector<double>(rows), std::vector<double>(rows)};
  const double rounding = rounding_of_sum(distances, q);
  std::vector<double> values;
  values.reserve(n);
  const auto sum_of = [&](std::uint32_t i, auto bound) {
    values.clear();
    for (std::uint32_t j = 0; j < n; ++j)
      if (j != i) values.push_back((distances.*bound)(i, j));
    return distances.exact() ? smallest_sum(values, q) : any_smallest_sum(values, q);
  };
  for (std::uint32_t i = 0; i < rows; ++i) {
    bounds.most[i] = sum_of(i, &GramDistances::most) * (1 + rounding);
    bounds.least[i] =
        distances.exact() ? bounds.most[i] : sum_of(i, &GramDistances::least) * (1 - rounding);
  }
  return bounds;
}

Verdict judge(const ScoreBounds& bounds, std::uint32_t m) {
  const auto n = static_cast<std::uint32_t>(bounds.least.size());
  MUSTER_CHECK_OP(m, <=, n);
  std::vector<double> least = bounds.least;
  std::vector<double> most = bounds.most;
  std::sort(least.begin(), least.end());
  std::sort(most.begin(), most.end());
  Verdict verdict;
  for (std::uint32_t i = 0; i < n; ++i) {
    // Rows that may come before i; i itself is counted too and does not.
    const auto may_precede =
        std::upper_bound(least.begin(), least.end(), bounds.most[i]) - least.begin() - 1;
    const auto must_precede =
        std::lower_bound(most.begin(), most.end(), bounds.least[i]) - most.begin();
    if (may_precede < m)
      verdict.selected.push_back(i);
    else if (must_precede < m)
      verdict.contenders.push_back(i);
  }
  verdict.open = m - static_cast<std::uint32_t>(verdict.selected.size());
  return verdict;
}

RemainingScores::RemainingScores(const GramDistances& distances)
    : distances_(distances), rows_(distances.n()), left_(distances.n(), true) {
  const std::uint32_t n = distances.n();
  std::iota(rows_.begin(), rows_.end(), 0u);
  const auto order_by = [&](auto bound) {
    Order order;
    order.reserve(std::size_t{n} * (n - 1));
    std::vector<std::pair<double, std::uint32_t>> others;
    for (std::uint32_t i = 0; i < n; ++i) {
      others.clear();
      for (std::uint32_t j = 0; j < n; ++j)
        if (j != i) others.emplace_back((distances.*bound)(i, j), j);
      std::sort(others.begin(), others.end());
      for (const auto& other : others) order.push_back(other.second);
    }
    return order;
  };
  by_most_ = order_by(&GramDistances::most);
  if (!distances.exact()) by_least_ = order_by(&GramDistances::least);
}

void RemainingScores::remove(std::uint32_t row) {
  MUSTER_CHECK(left_[row]);
  left_[row] = false;
  rows_.erase(std::lower_bound(rows_.begin(), rows_.end(), row));
}

ScoreBounds RemainingScores::bounds(std::uint32_t q) const {
  MUSTER_CHECK_OP(std::size_t{q}, <, rows_.size());
  const std::size_t others = distances_.n() - 1;
  const auto sum = [&](std::uint32_t i, const Order& order, auto bound) {
    double total = 0;
    const std::uint32_t* next = order.data() + i * others;
    for (std::uint32_t counted = 0; counted < q; ++next)
      if (left_[*next]) total += (distances_.*bound)(i, *next), ++counted;
    return total;
  };
  const double rounding = rounding_of_sum(distances_, q);
  ScoreBounds bounds;
  for (const std::uint32_t i : rows_) {
    const double most = sum(i, by_most_, &GramDistances::most);
    bounds.most.push_back(most * (1 + rounding));
    bounds.least.push_back(
        distances_.exact() ? most : sum(i, by_least_, &GramDistances::least) * (1 - rounding));
  }
  return bounds;
}

std::vector<std::uint32_t> RemainingScores::possible_neighbours(std::uint32_t i,
                                                                std::uint32_t q) const {
  MUSTER_CHECK(q > 0);
  MUSTER_CHECK_OP(std::size_t{q}, <, rows_.size());
  const std::uint32_t* next = by_most_.data() + i * (distances_.n() - std::size_t{1});
  for (std::uint32_t counted = left_[*next]; counted < q; counted += left_[*next]) ++next;
  const double farthest = distances_.most(i, *next);
  std::vector<std::uint32_t> possible;
  for (const std::uint32_t j : rows_)
    if (j != i && distances_.least(i, j) <= farthest) possible.push_back(j);
  return possible;
}

std::vector<std::uint32_t> possible_neighbours(const GramDistances& distances, std::uint32_t i,
                                               std::uint32_t q) {
  const std::uint32_t n = distances.n();
  std::vector<double> most;
  most.reserve(n);
  for (std::uint32_t j = 0; j < n; ++j)
    if (j != i) most.push_back(distances.most(i, j));
  const auto last = most.begin() + (q - 1);
  std::nth_element(most.begin(), last, most.end());
  std::vector<std::uint32_t> possible;
  for (std::uint32_t j = 0; j < n; ++j)
    if (j != i && distances.least(i, j) <= *last) possible.push_back(j);
  return possible;
}

}  // namespace muster::robust
