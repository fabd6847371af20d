// Krum scores ranked by sketches: the Gram matrix of 4096 numbers a row instead of the codes, then
// exact distances for the rows the ranking leaves near the cut.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "robust_agg/distances.h"
#include "robust_agg/krum_select.h"

namespace muster::robust {
namespace {

/// Deviations an estimated score is trusted within. Six would do for independent cells; eight also
/// cover rows that share lanes (sketch.h) and the choice of neighbours by estimates.
constexpr double kDeviations = 8;

Result<HostMatrix> gram_of_sketches(const Execution& run) {
  const std::size_t n = run.rows.n();
  MUSTER_ASSIGN(ScopedBuffer buffer, ScopedBuffer::allocate(run.backend, n * n * sizeof(double)));
  std::vector<const std::byte*> rows;
  for (const std::uint32_t position : run.rows.positions())
    rows.push_back(run.sketched->fold->sketch(run.sketched->indices[position]));
  run.backend.gram({{kSketchFormat, kSketchCells, rows, {}}, nullptr, buffer.as<double>()},
                   kernels::Stream::kCompute);
  return host_matrix(run.backend, std::move(buffer), n * n);
}

struct Estimates {
  std::vector<double> scores;
  std::vector<double> deviations;
};

/// Scores from exact norms and sketched inner products. The sum over q neighbours J of
/// |x_i|^2 + |x_j|^2 - 2 <x_i, x_j> errs by 2 <x_i, sum over J of x_j>, one sketched product: its
/// deviation is what sketch.h says with that sum's norm, taken from the neighbours of the best row.
/// Sums here need no fixed order: they only say which rows to look at.
Estimates estimate(std::span<const double> gram, std::span<const double> norms, std::uint32_t q) {
  const std::size_t n = norms.size();
  Estimates estimates{std::vector<double>(n), std::vector<double>(n)};
  std::vector<double> distances(n), sorted;
  const auto measure = [&](std::size_t i) {
    for (std::size_t j = 0; j < n; ++j)
      distances[j] = std::max(0.0, norms[i] + norms[j] - 2 * gram[i * n + j]);
    sorted.assign(distances.begin(), distances.end());
    sorted.erase(sorted.begin() + static_cast<std::ptrdiff_t>(i));
    std::nth_element(sorted.begin(), sorted.begin() + (q - 1), sorted.end());
  };
  for (std::size_t i = 0; i < n; ++i) {
    measure(i);
    estimates.scores[i] = std::accumulate(sorted.begin(), sorted.begin() + q, 0.0);
  }
  const auto best =
      static_cast<std::size_t>(std::min_element(estimates.scores.begin(), estimates.scores.end()) -
                               estimates.scores.begin());
  measure(best);
  std::vector<std::size_t> near;
  for (std::size_t j = 0; j < n; ++j)
    if (j != best && distances[j] <= sorted[q - 1]) near.push_back(j);
  double apart = 0, together = 0;
  for (const std::size_t j : near) {
    apart += norms[j];
    for (const std::size_t k : near) together += j == k ? norms[j] : gram[j * n + k];
  }
  const double sum_norm = std::max(apart, together);
  for (std::size_t i = 0; i < n; ++i) {
    double product = 0;
    for (const std::size_t j : near) product += gram[i * n + j];
    estimates.deviations[i] =
        2 * std::sqrt((norms[i] * sum_norm + product * product) / kSketchCells);
  }
  return estimates;
}

/// The rows exact distances decide about, best estimates first, and how many of them are to be
/// selected; the rest is settled.
struct Cut {
  std::vector<std::uint32_t> selected;
  std::vector<std::uint32_t> contenders;
  std::uint32_t open = 0;
  std::size_t left_out = 0;  ///< contenders beyond kMostMeasured, settled by their estimates
};

Cut find_cut(const Execution& run, const Estimates& estimates, std::uint32_t m) {
  const std::size_t n = estimates.scores.size();
  ScoreBounds bounds{std::vector<double>(n), std::vector<double>(n)};
  for (std::size_t i = 0; i < n; ++i) {
    bounds.least[i] = estimates.scores[i] - kDeviations * estimates.deviations[i];
    bounds.most[i] = estimates.scores[i] + kDeviations * estimates.deviations[i];
  }
  Verdict verdict = judge(bounds, m);
  Cut cut{std::move(verdict.selected), std::move(verdict.contenders), verdict.open, 0};
  std::sort(cut.contenders.begin(), cut.contenders.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(estimates.scores[a], run.rows.rank(a)) <
           std::pair(estimates.scores[b], run.rows.rank(b));
  });
  if (cut.contenders.size() <= kMostMeasured) return cut;
  // Those around the last open place.
  cut.left_out = cut.contenders.size() - kMostMeasured;
  const std::size_t before = std::min<std::size_t>(
      cut.open > kMostMeasured / 2 ? cut.open - kMostMeasured / 2 : 0, cut.left_out);
  const auto first = cut.contenders.begin() + static_cast<std::ptrdiff_t>(before);
  cut.selected.insert(cut.selected.end(), cut.contenders.begin(), first);
  cut.contenders = {first, first + kMostMeasured};
  cut.open -= static_cast<std::uint32_t>(before);
  return cut;
}

/// Whether the exact scores of some rows lie about their estimates as the deviations say, but for
/// what is common to all.
bool as_expected(const Estimates& estimates, std::span<const std::uint32_t> order,
                 const ScoreBounds& exact) {
  std::vector<double> errors;
  for (std::size_t k = 0; k < exact.least.size(); ++k)
    errors.push_back((exact.least[k] + exact.most[k]) / 2 - estimates.scores[order[k]]);
  std::vector<double> sorted = errors;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  for (std::size_t k = 0; k < errors.size(); ++k)
    if (std::abs(errors[k] - *middle) > kDeviations * estimates.deviations[order[k]]) return false;
  return true;
}

}  // namespace

Result<Selection> select_sketched(const Execution& run, const KrumParameters& parameters) {
  const std::uint32_t n = run.rows.n();
  std::vector<double> norms(run.rows.squared_norms().begin(), run.rows.squared_norms().end());
  Estimates estimates;
  {
    MUSTER_ASSIGN(const HostMatrix gram, gram_of_sketches(run));
    estimates = estimate(gram.values, norms, parameters.q);
  }
  Cut cut = find_cut(run, estimates, parameters.m);
  Selection selection{std::move(cut.selected), {}};
  std::string verdict = "certified";
  if (cut.left_out > 0)
    verdict = "not certified: " + std::to_string(cut.left_out) +
              " more rows lie within the error of their sketches";
  if (!cut.contenders.empty()) {
    const auto rows = static_cast<std::uint32_t>(cut.contenders.size());
    std::vector<std::uint32_t> order = cut.contenders;
    std::vector<bool> contends(n);
    for (const std::uint32_t row : order) contends[row] = true;
    for (std::uint32_t i = 0; i < n; ++i)
      if (!contends[i]) order.push_back(i);
    std::vector<double> ordered_norms;
    for (const std::uint32_t row : order) ordered_norms.push_back(norms[row]);
    MUSTER_ASSIGN(const Gram gram, gram_of(run, order, rows, Origin::kZero));
    const double error = relative_error(run, gram, ordered_norms);
    const GramDistances distances(gram.matrix.values, std::move(ordered_norms), error);
    const ScoreBounds bounds = score_bounds(distances, parameters.q);
    MUSTER_ASSIGN(const Decision decision,
                  decide(run, distances, bounds, order, {cut.open, parameters.q}));
    selection.rows.insert(selection.rows.end(), decision.rows.begin(), decision.rows.end());
    if (!as_expected(estimates, order, bounds))
      verdict = "not certified: exact scores lie beyond the error of their sketches";
  }
  std::sort(selection.rows.begin(), selection.rows.end());
  selection.how = "ranked by sketches, " + std::to_string(cut.contenders.size()) +
                  " rows near the cut measured exactly, " + verdict;
  return selection;
}

}  // namespace muster::robust
