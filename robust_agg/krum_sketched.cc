// Krum scores ranked by sketches: the Gram matrix of 4096 numbers a row instead of the codes, then
// exact scores for the rows the ranking leaves near the cut: from the sum of the cohort where few
// rows are far, else from all distances.

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "robust_agg/distances.h"
#include "robust_agg/krum_select.h"
#include "robust_agg/krum_total.h"

namespace muster::robust {
namespace {

constexpr double kDeviations = SketchedDistances::kDeviations;

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

/// Scores from exact norms and sketched inner products. The sum over q neighbours J of
/// |x_i|^2 + |x_j|^2 - 2 <x_i, x_j> errs by 2 <x_i, S>, S = sum over J of x_j: one sketched
/// product, whose deviation is what sketch.h says with S taken from the neighbours of the best row.
/// Scores are only compared, so the errors less that of the best row will do as well: those of 2
/// <x_i - x_best, S>, to which what all rows have in common adds nothing. Sums here need no fixed
/// order: they only say which rows to look at.
struct Estimates {
  std::vector<double> scores;
  std::vector<double> deviations;    ///< of their errors
  std::vector<double> against_best;  ///< of their errors less that of the best row
};

/// The sum of the q smallest values, and the largest of them.
struct Smallest {
  double sum = 0, last = 0;
};

/// Halves the range that holds the q-th value, by the bits of the values as f32, which order as
/// they do where none is negative, until few are left to be put in order. `bits` and `rest` are
/// kept for their memory only.
Smallest smallest(std::span<const double> values, std::uint32_t q, std::vector<std::int32_t>& bits,
                  std::vector<double>& rest) {
  bits.resize(values.size());
  std::int32_t low = std::numeric_limits<std::int32_t>::max(), high = 0;  // of what is left
  for (std::size_t k = 0; k < values.size(); ++k) {
    bits[k] = std::bit_cast<std::int32_t>(static_cast<float>(values[k]));
    low = bits[k] < low ? bits[k] : low;
    high = bits[k] > high ? bits[k] : high;
  }
  const auto below = [&](std::int32_t bound) {
    std::uint32_t count = 0;
    for (const std::int32_t value : bits) count += value < bound ? 1 : 0;
    return count;
  };
  constexpr std::uint32_t kFew = 16;
  std::uint32_t before = 0, until = static_cast<std::uint32_t>(values.size());  // low, past high
  while (low < high && until - before > kFew) {
    const std::int32_t middle = low + (high - low) / 2;
    const std::uint32_t count = below(middle + 1);
    if (count < q)
      low = middle + 1, before = count;
    else
      high = middle, until = count;
  }
  Smallest found;
  rest.clear();
  double sums[4] = {};  // side by side
  for (std::size_t k = 0; k < values.size(); ++k) {
    sums[k % 4] += bits[k] < low ? values[k] : 0.0;
    if (bits[k] >= low && bits[k] <= high) rest.push_back(values[k]);
  }
  std::sort(rest.begin(), rest.end());
  found.sum = std::accumulate(rest.begin(), rest.begin() + (q - before),
                              (sums[0] + sums[1]) + (sums[2] + sums[3]));
  found.last = rest[q - before - 1];
  return found;
}

Estimates estimate(const SketchedDistances& sketched, std::uint32_t q) {
  const std::span<const double> norms = sketched.norms();
  const std::size_t n = norms.size();
  Estimates estimates{std::vector<double>(n), std::vector<double>(n), std::vector<double>(n)};
  std::vector<double> distances(n), rest;  // to the others: that of the row itself is the last's
  std::vector<std::int32_t> bits;
  const auto measure = [&](std::size_t i) {
    for (std::size_t j = 0; j < n; ++j)
      distances[j] = std::max(0.0, norms[i] + norms[j] - 2 * sketched.product(i, j));
    std::swap(distances[i], distances[n - 1]);
    return smallest(std::span(distances).first(n - 1), q, bits, rest);
  };
  for (std::size_t i = 0; i < n; ++i) estimates.scores[i] = measure(i).sum;
  const auto best =
      static_cast<std::size_t>(std::min_element(estimates.scores.begin(), estimates.scores.end()) -
                               estimates.scores.begin());
  const double farthest = measure(best).last;
  std::swap(distances[best], distances[n - 1]);
  std::vector<std::size_t> near;
  for (std::size_t j = 0; j < n; ++j)
    if (j != best && distances[j] <= farthest) near.push_back(j);
  double apart = 0, together = 0;
  for (const std::size_t j : near) {
    apart += norms[j];
    for (const std::size_t k : near) together += j == k ? norms[j] : sketched.product(j, k);
  }
  const double sum_norm = std::max(apart, together);
  std::vector<double> products(n);  // with the sum of the neighbours: products are symmetric
  for (const std::size_t j : near)
    for (std::size_t i = 0; i < n; ++i) products[i] += sketched.product(j, i);
  for (std::size_t i = 0; i < n; ++i) {
    const auto deviation = [&](double norm, double product) {
      return 2 * std::sqrt((norm * sum_norm + product * product) / kSketchCells);
    };
    estimates.deviations[i] = deviation(norms[i], products[i]);
    estimates.against_best[i] =
        deviation(sketched.most_apart(i, best), products[i] - products[best]);
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

Verdict judge_estimates(std::span<const double> scores, std::span<const double> deviations,
                        std::uint32_t m) {
  ScoreBounds bounds;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    bounds.least.push_back(scores[i] - kDeviations * deviations[i]);
    bounds.most.push_back(scores[i] + kDeviations * deviations[i]);
  }
  return judge(bounds, m);
}

/// Of the two kinds of deviations those that settle more are kept, as estimates.deviations.
Cut find_cut(const Execution& run, Estimates& estimates, std::uint32_t m) {
  Verdict verdict = judge_estimates(estimates.scores, estimates.deviations, m);
  if (Verdict other = judge_estimates(estimates.scores, estimates.against_best, m);
      other.contenders.size() < verdict.contenders.size()) {
    verdict = std::move(other);
    std::swap(estimates.deviations, estimates.against_best);
  }
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
/// the error that all have in common: that of the row whose error is surest.
bool as_expected(const Estimates& estimates, std::span<const std::uint32_t> order,
                 const ScoreBounds& exact) {
  const std::size_t count = exact.least.size();
  const auto surest =
      *std::min_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count),
                        [&](std::uint32_t a, std::uint32_t b) {
                          return estimates.deviations[a] < estimates.deviations[b];
                        });
  const auto found =
      static_cast<std::size_t>(std::find(order.begin(), order.end(), surest) - order.begin());
  const auto least_error = [&](std::size_t k) {
    return exact.least[k] - estimates.scores[order[k]];
  };
  const auto most_error = [&](std::size_t k) { return exact.most[k] - estimates.scores[order[k]]; };
  for (std::size_t k = 0; k < count; ++k) {
    const double margin =
        kDeviations * (estimates.deviations[order[k]] + estimates.deviations[surest]);
    if (least_error(k) - most_error(found) > margin || least_error(found) - most_error(k) > margin)
      return false;
  }
  return true;
}

}  // namespace

Result<Selection> select_sketched(const Execution& run, const KrumParameters& parameters) {
  const std::span<const double> norms = run.rows.squared_norms();
  MUSTER_ASSIGN(const HostMatrix gram, gram_of_sketches(run));
  const SketchedDistances sketched(gram.values, norms);
  Estimates estimates = estimate(sketched, parameters.q);
  Cut cut = find_cut(run, estimates, parameters.m);
  const std::string contenders = std::to_string(cut.contenders.size());
  Selection selection{std::move(cut.selected), {}};
  std::string how, verdict = "certified";
  if (cut.left_out > 0)
    verdict = "not certified: " + std::to_string(cut.left_out) +
              " more rows lie within the error of their sketches";
  const auto check = [&](std::span<const std::uint32_t> order, const ScoreBounds& bounds) {
    if (!as_expected(estimates, order, bounds))
      verdict = "not certified: exact scores lie beyond the error of their sketches";
  };

  if (!cut.contenders.empty()) {
    MUSTER_ASSIGN(const auto scores, scores_by_total(run, sketched, cut.contenders, parameters.q));
    if (scores) {
      how = " by the sum of all and " + std::to_string(scores->far) + " far rows";
      check(cut.contenders, scores->bounds);
      const Verdict judged = judge(scores->bounds, cut.open);
      for (const std::uint32_t k : judged.selected) selection.rows.push_back(cut.contenders[k]);
      std::vector<std::uint32_t> left;
      for (const std::uint32_t k : judged.contenders) left.push_back(cut.contenders[k]);
      cut.contenders = std::move(left);
      cut.open = judged.open;
      if (cut.open > 0) how += ", " + std::to_string(cut.contenders.size()) + " of them again";
    }
  }
  if (!cut.contenders.empty()) {
    const auto rows = static_cast<std::uint32_t>(cut.contenders.size());
    std::vector<std::uint32_t> order = cut.contenders;
    std::vector<bool> contends(run.rows.n());
    for (const std::uint32_t row : order) contends[row] = true;
    for (std::uint32_t i = 0; i < run.rows.n(); ++i)
      if (!contends[i]) order.push_back(i);
    std::vector<double> ordered_norms;
    for (const std::uint32_t row : order) ordered_norms.push_back(norms[row]);
    MUSTER_ASSIGN(const Gram measured, gram_of(run, order, rows, Origin::kZero));
    const double error = relative_error(run, measured, ordered_norms);
    const GramDistances distances(measured.matrix.values, std::move(ordered_norms), error);
    const ScoreBounds bounds = score_bounds(distances, parameters.q);
    MUSTER_ASSIGN(const Decision decision,
                  decide(run, distances, bounds, order, {cut.open, parameters.q}));
    selection.rows.insert(selection.rows.end(), decision.rows.begin(), decision.rows.end());
    check(order, bounds);
  }
  std::sort(selection.rows.begin(), selection.rows.end());
  selection.how = "ranked by sketches, " + contenders + " rows near the cut measured exactly" +
                  how + ", " + verdict;
  return selection;
}

}  // namespace muster::robust
