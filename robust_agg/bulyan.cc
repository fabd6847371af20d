// Bulyan: Krum again and again over what is left, then a window of each coordinate.
#include "robust_agg/bulyan.h"

#include <algorithm>

#include "base/check.h"

namespace muster::robust {
namespace {

/// Scores of the rows at `places` of `remaining`, from direct differences.
Result<std::vector<double>> direct_scores(const RemainingScores& remaining,
                                          std::span<const std::uint32_t> places, std::uint32_t q,
                                          MeasuredDistances& measured) {
  std::vector<Pair> pairs;
  std::vector<std::vector<std::uint32_t>> neighbours;
  for (const std::uint32_t place : places) {
    const std::uint32_t row = remaining.rows()[place];
    neighbours.push_back(remaining.possible_neighbours(row, q));
    for (const std::uint32_t j : neighbours.back()) pairs.push_back(ordered(row, j));
  }
  MUSTER_TRY(measured.require(std::move(pairs)));
  std::vector<double> scores;
  for (std::size_t k = 0; k < places.size(); ++k) {
    std::vector<double> values;
    for (const std::uint32_t j : neighbours[k])
      values.push_back(measured.of(remaining.rows()[places[k]], j));
    scores.push_back(smallest_sum(values, q));
  }
  return scores;
}

Result<std::uint32_t> elect(const RemainingScores& remaining, std::span<const std::uint64_t> ranks,
                            std::uint32_t q, MeasuredDistances* measured) {
  const ScoreBounds bounds = remaining.bounds(q);
  const Verdict verdict = judge(bounds, 1);
  if (!verdict.selected.empty()) return remaining.rows()[verdict.selected[0]];
  std::vector<double> scores;
  if (measured == nullptr) {
    for (const std::uint32_t place : verdict.contenders) scores.push_back(bounds.least[place]);
  } else {
    MUSTER_ASSIGN(scores, direct_scores(remaining, verdict.contenders, q, *measured));
  }
  MUSTER_CHECK(!scores.empty());
  const auto row = [&](std::size_t k) { return remaining.rows()[verdict.contenders[k]]; };
  std::size_t best = 0;
  for (std::size_t k = 1; k < scores.size(); ++k)
    if (scores[k] < scores[best] || (scores[k] == scores[best] && ranks[row(k)] < ranks[row(best)]))
      best = k;
  return row(best);
}

}  // namespace

Result<std::vector<std::uint32_t>> elected_rows(const GramDistances& distances,
                                                std::span<const std::uint64_t> ranks,
                                                std::uint32_t f, MeasuredDistances* measured) {
  const std::uint32_t n = distances.n();
  MUSTER_CHECK_OP(std::uint64_t{2} * f, <, n);
  RemainingScores remaining(distances);
  std::vector<std::uint32_t> elected;
  while (elected.size() < n - 2 * f) {
    const auto left = static_cast<std::uint32_t>(remaining.rows().size());
    const std::uint32_t q = std::min(left - 1, left > f + 3 ? left - f - 2 : 1);
    MUSTER_ASSIGN(const std::uint32_t row, elect(remaining, ranks, q, measured));
    elected.push_back(row);
    remaining.remove(row);
  }
  return elected;
}

Status elect_and_trim(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n(), theta = n - 2 * run.f, kept = theta - 2 * run.f;
  MUSTER_ASSIGN(const Gram gram, gram_of(run));
  const GramDistances distances = distances_of(run, gram);
  std::vector<std::uint64_t> ranks;
  for (std::uint32_t i = 0; i < n; ++i) ranks.push_back(run.rows.rank(i));
  MeasuredDistances measured(run);
  MUSTER_ASSIGN(std::vector<std::uint32_t> rows,
                elected_rows(distances, ranks, run.f, distances.exact() ? nullptr : &measured));
  std::sort(rows.begin(), rows.end());
  const std::uint32_t middle = (theta - 1) / 2;
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, rows));
    run.backend.window_sum({.codes = codes,
                            .factors = {},
                            .stages = {},
                            .low = middle,
                            .high = middle,
                            .keep = kept,
                            .grid_bits = run.plan.grid_bits,
                            .target = run.sum + chunk_begin(run.plan, c)},
                           kernels::Stream::kCompute);
  }
  outcome.divisor = kept;
  for (const std::uint32_t row : rows) outcome.selected.add(run.rows.positions()[row]);
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(theta) +
                   " elected, " + std::to_string(kept) + " values kept a coordinate, " +
                   std::to_string(measured.pairs_measured()) + " of " +
                   std::to_string(std::uint64_t{n} * (n - 1) / 2) + " distances measured again";
  return {};
}

}  // namespace muster::robust
