#include "robust_agg/krum_total.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "robust_agg/distances.h"

namespace muster::robust {
namespace {

/// The rows, then those that may be among the `count` farthest of one of them: the likeliest, if
/// they are too many.
std::vector<std::uint32_t> with_farthest(const SketchedDistances& sketched,
                                         std::span<const std::uint32_t> rows, std::uint32_t count) {
  std::vector<std::uint32_t> order(rows.begin(), rows.end());
  if (count == 0) return order;
  const std::uint32_t n = sketched.n();
  std::vector<double> farthest(n);  // from any of the rows
  std::vector<bool> possible(n), listed(n);
  for (const std::uint32_t row : rows) listed[row] = true;
  std::vector<double> least;
  for (const std::uint32_t i : rows) {
    least.clear();
    for (std::uint32_t j = 0; j < n; ++j)
      if (j != i) least.push_back(sketched.least(i, j));
    const auto last = least.begin() + (count - 1);
    std::nth_element(least.begin(), last, least.end(), std::greater<>());
    for (std::uint32_t j = 0; j < n; ++j) {
      if (listed[j] || sketched.most(i, j) < *last) continue;
      possible[j] = true;
      farthest[j] = std::max(farthest[j], sketched.distance(i, j));
    }
  }
  std::vector<std::uint32_t> far;
  for (std::uint32_t j = 0; j < n; ++j)
    if (possible[j]) far.push_back(j);
  std::stable_sort(far.begin(), far.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return farthest[a] > farthest[b]; });
  // A quarter more than fit covers the rows their sketches cannot order; the rest would add little.
  far.resize(std::min<std::size_t>({far.size(), count + count / 4 + 16, n / 3}));
  order.insert(order.end(), far.begin(), far.end());
  return order;
}

/// The sum of the `count` largest.
double largest_sum(std::vector<double> values, std::uint32_t count) {
  for (double& value : values) value = -value;
  return -smallest_sum(values, count);
}

Result<std::vector<double>> products_with_total(const Execution& run,
                                                std::span<const std::uint32_t> rows) {
  std::vector<double> products(rows.size());
  const std::int64_t* const total = run.sketched->fold->total();
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, rows));
    run.backend.relate({codes,
                        total + chunk_begin(run.plan, c),
                        std::ldexp(1.0, -run.plan.grid_bits),
                        {},
                        products},
                       kernels::Stream::kCompute);
  }
  return products;
}

}  // namespace

double SketchedDistances::distance(std::size_t i, std::size_t j) const {
  return norms_[i] + norms_[j] - 2 * product(i, j);
}

double SketchedDistances::least(std::size_t i, std::size_t j) const {
  return std::max(0.0, distance(i, j) - margin(i, j));
}

double SketchedDistances::most(std::size_t i, std::size_t j) const {
  return distance(i, j) + margin(i, j);
}

double SketchedDistances::most_apart(std::size_t i, std::size_t j) const {
  // |x|^2 of a sketch has deviation sqrt(2 / cells) |x|^2.
  const double share = kDeviations * std::sqrt(2.0 / kSketchCells);
  const double apart = product(i, i) + product(j, j) - 2 * product(i, j);
  return std::max(0.0, apart) / (1 - share);
}

double SketchedDistances::margin(std::size_t i, std::size_t j) const {
  const double p = product(i, j);
  return kDeviations * 2 * std::sqrt((norms_[i] * norms_[j] + p * p) / kSketchCells);
}

Result<std::optional<TotalledScores>> scores_by_total(const Execution& run,
                                                      const SketchedDistances& sketched,
                                                      std::span<const std::uint32_t> rows,
                                                      std::uint32_t q) {
  const std::optional<TotalledScores> none;
  const SketchFold& fold = *run.sketched->fold;
  // The total is that of the cohort if every update of the fold is in it.
  if (fold.total() == nullptr || fold.size() != run.sketched->indices.size()) return none;
  const std::uint32_t n = sketched.n(), left_out = n - 1 - q;
  const std::vector<std::uint32_t> order = with_farthest(sketched, rows, left_out);

  std::vector<double> norms;
  for (const std::uint32_t row : order) norms.push_back(sketched.norms()[row]);
  MUSTER_ASSIGN(const Gram gram,
                gram_of(run, order, static_cast<std::uint32_t>(rows.size()), Origin::kZero));
  const double relative = relative_error(run, gram, norms);
  const GramDistances distances(gram.matrix.values, norms, relative);
  MUSTER_ASSIGN(const std::vector<double> products, products_with_total(run, rows));

  double norm_sum = 0, length_sum = 0;
  for (const double norm : sketched.norms()) norm_sum += norm, length_sum += std::sqrt(norm);
  const double dimension = static_cast<double>(run.plan.rule_dimension);
  // What values lose where coordinates are worth less than codes (docs/numerics.md) and on the
  // grid, by Cauchy and Schwarz; then the roundings of all sums here and of the kernels'.
  const double loss =
      0x1p-24 * length_sum + n * std::sqrt(dimension) * std::ldexp(0.5, -run.plan.grid_bits);
  const double rounding = 8 * (n + dimension / 4096 + 2 * 4096.0) * 0x1p-53;

  TotalledScores scores{{}, order.size() - rows.size()};
  std::vector<bool> read(n);
  for (const std::uint32_t row : order) read[row] = true;
  for (std::uint32_t a = 0; a < rows.size(); ++a) {
    std::vector<double> least, most;
    for (std::uint32_t b = 0; b < order.size(); ++b) {
      if (b == a) continue;
      least.push_back(distances.least(a, b));
      most.push_back(distances.most(a, b));
      if (most.back() < sketched.least(rows[a], order[b]) ||
          least.back() > sketched.most(rows[a], order[b]))
        return none;
    }
    for (std::uint32_t j = 0; j < n; ++j) {
      if (read[j]) continue;
      least.push_back(sketched.least(rows[a], j));
      most.push_back(sketched.most(rows[a], j));
    }
    const double all = n * norms[a] + norm_sum - 2 * products[a];
    const double length = std::sqrt(norms[a]);
    const double error =
        2 * length * loss + rounding * (n * norms[a] + norm_sum + 2 * length * length_sum);
    scores.bounds.least.push_back(all - error - largest_sum(std::move(most), left_out));
    scores.bounds.most.push_back(all + error - largest_sum(std::move(least), left_out));
  }
  return std::optional(std::move(scores));
}

}  // namespace muster::robust
