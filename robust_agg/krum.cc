// Krum and Multi-Krum: one pass for the Gram matrix (or sketches), a certified selection, one pass
// to combine.

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "robust_agg/krum_select.h"

namespace muster::robust {
namespace {

/// A pair costs some 16 times as much to measure again as its entry of a Gram matrix, so beyond
/// this share of all pairs a second, centred matrix is tried first; never for a few.
constexpr std::size_t kPairsWorthCentring = 256;
constexpr std::size_t kShareWorthCentring = 16;

KrumParameters parameters_of(const Rule& rule, std::uint32_t n, std::uint32_t f) {
  const auto* multi = std::get_if<MultiKrum>(&rule);
  const Neighbours neighbours = multi ? multi->neighbours : std::get<Krum>(rule).neighbours;
  const std::uint32_t q = n - f - (neighbours == Neighbours::kNMinusFMinus2 ? 2 : 1);
  if (multi == nullptr) return {1, q};
  return {multi->m == 0 ? n - f - 2 : multi->m, q};
}

std::vector<double> diagonal(const HostMatrix& matrix, std::size_t n) {
  std::vector<double> entries(n);
  for (std::size_t i = 0; i < n; ++i) entries[i] = matrix.values[i * n + i];
  return entries;
}

/// One look at the cohort: its Gram matrix and what that says about the scores.
struct Look {
  Gram gram;
  GramDistances distances;
  ScoreBounds bounds;
};

Result<Look> look(const Execution& run, std::span<const std::uint32_t> order, std::uint32_t q,
                  bool centred) {
  MUSTER_ASSIGN(Gram gram, gram_of(run, order, run.rows.n(), centred));
  std::vector<double> norms = diagonal(gram.matrix, order.size());
  const double error = relative_error(run, gram, norms);
  // The values of the matrix stay where they are when it moves.
  GramDistances distances(gram.matrix.values, std::move(norms), error);
  ScoreBounds bounds = score_bounds(distances, q);
  return Look{std::move(gram), std::move(distances), std::move(bounds)};
}

Result<Selection> select_exact(const Execution& run, const KrumParameters& parameters) {
  const std::uint32_t n = run.rows.n();
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  MUSTER_ASSIGN(Look seen, look(run, order, parameters.q, false));
  const std::uint64_t all = std::uint64_t{n} * (n - 1) / 2;
  const std::size_t pairs = pairs_to_measure(seen.distances, seen.bounds, parameters);
  const bool centred =
      pairs > std::max<std::uint64_t>(kPairsWorthCentring, all / kShareWorthCentring);
  if (centred) {
    // Updates much alike: around a point among them, distances keep their digits.
    std::optional<Look> first(std::move(seen));
    first.reset();  // one matrix at a time
    MUSTER_ASSIGN(Look again, look(run, order, parameters.q, true));
    MUSTER_ASSIGN(Decision decision, decide(run, again.distances, again.bounds, order, parameters));
    return Selection{std::move(decision.rows),
                     "around a centre, " + std::to_string(decision.pairs_measured) + " of " +
                         std::to_string(all) + " distances measured again"};
  }
  MUSTER_ASSIGN(Decision decision, decide(run, seen.distances, seen.bounds, order, parameters));
  return Selection{std::move(decision.rows), std::to_string(decision.pairs_measured) + " of " +
                                                 std::to_string(all) + " distances measured again"};
}

}  // namespace

Status average_selected(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  const KrumParameters parameters = parameters_of(run.plan.request.rule, n, run.f);
  MUSTER_ASSIGN(const Selection selection, uses_sketches(run.plan.request.rule)
                                               ? select_sketched(run, parameters)
                                               : select_exact(run, parameters));
  const std::vector<double> factors(parameters.m, 1.0);
  const std::vector<std::int64_t> weights(parameters.m, 1);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, selection.rows));
    run.backend.accumulate(
        {codes, factors, weights, run.plan.grid_bits, run.sum + chunk_begin(run.plan, c)},
        kernels::Stream::kCompute);
    finish_jobs(run.backend);
  }
  outcome.divisor = parameters.m;
  for (const std::uint32_t row : selection.rows)
    outcome.selected.push_back(run.rows.positions()[row]);
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(parameters.m) +
                   " selected by " + std::to_string(parameters.q) + " neighbours, " + selection.how;
  return {};
}

}  // namespace muster::robust
