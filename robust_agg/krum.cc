// Krum and Multi-Krum: one pass for the Gram matrix (or sketches), a certified selection, one pass
// to combine.

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "robust_agg/coefficients.h"
#include "robust_agg/distances.h"
#include "robust_agg/krum_select.h"

namespace muster::robust {

KrumParameters krum_parameters(const Rule& rule, std::uint32_t n, std::uint32_t f) {
  const auto* multi = std::get_if<MultiKrum>(&rule);
  const Neighbours neighbours = multi ? multi->neighbours : std::get<Krum>(rule).neighbours;
  const std::uint32_t q = n - f - (neighbours == Neighbours::kNMinusFMinus2 ? 2 : 1);
  if (multi == nullptr) return {1, q};
  return {multi->m == 0 ? n - f - 2 : multi->m, q};
}

namespace {

/// A pair costs some 16 times as much to measure again as its entry of a Gram matrix, so beyond
/// this share of all pairs another, sharper matrix is tried first; never for a few.
constexpr std::size_t kPairsWorthLooking = 256;
constexpr std::size_t kShareWorthLooking = 16;

/// One look at the cohort: its Gram matrix and what that says about the scores.
struct Look {
  Gram gram;
  GramDistances distances;
  ScoreBounds bounds;
};

/// The first look in f32, where the backend has that.
Result<std::optional<Look>> glance(const Execution& run, std::uint32_t q) {
  MUSTER_ASSIGN(std::optional<Gram> gram, estimated_gram_of(run));
  if (!gram) return std::optional<Look>();
  GramDistances distances = estimated_distances_of(run, *gram);
  ScoreBounds bounds = score_bounds(distances, q);
  return std::optional(Look{*std::move(gram), std::move(distances), std::move(bounds)});
}

Result<Look> look(const Execution& run, std::uint32_t q, Origin origin) {
  MUSTER_ASSIGN(Gram gram, gram_of(run, origin));
  // The values of the matrix stay where they are when it moves.
  GramDistances distances = distances_of(run, gram);
  ScoreBounds bounds = score_bounds(distances, q);
  return Look{std::move(gram), std::move(distances), std::move(bounds)};
}

Result<Selection> select_exact(const Execution& run, const KrumParameters& parameters) {
  const std::uint32_t n = run.rows.n();
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  const std::uint64_t all = std::uint64_t{n} * (n - 1) / 2;
  MUSTER_ASSIGN(std::optional<Look> seen, glance(run, parameters.q));
  std::string how = "estimated in f32, ";
  const auto look_around = [&](Origin origin) -> Status {
    seen.reset();  // one matrix at a time
    MUSTER_ASSIGN(Look made, look(run, parameters.q, origin));
    seen.emplace(std::move(made));
    return {};
  };
  const auto worth_looking = [&] {
    return !seen || pairs_to_measure(seen->distances, seen->bounds, parameters) >
                        std::max<std::uint64_t>(kPairsWorthLooking, all / kShareWorthLooking);
  };
  if (worth_looking()) {
    MUSTER_TRY(look_around(Origin::kZero));
    how.clear();
    // Updates much alike: around a point among them, distances keep their digits.
    if (worth_looking()) {
      MUSTER_TRY(look_around(Origin::kCentre));
      how = "around a centre, ";
    }
  }
  MUSTER_ASSIGN(Decision decision, decide(run, seen->distances, seen->bounds, order, parameters));
  return Selection{std::move(decision.rows), how + std::to_string(decision.pairs_measured) +
                                                 " of " + std::to_string(all) +
                                                 " distances measured again"};
}

}  // namespace

Status average_rows(const Execution& run, std::span<const std::uint32_t> rows, Outcome& outcome) {
  MUSTER_TRY(add_rows(run, rows));
  outcome.divisor = static_cast<double>(rows.size());
  for (const std::uint32_t row : rows) outcome.selected.add(run.rows.positions()[row]);
  return {};
}

Status average_selected(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  const KrumParameters parameters = krum_parameters(run.plan.request.rule, n, run.f);
  MUSTER_ASSIGN(const Selection selection, uses_sketches(run.plan.request.rule)
                                               ? select_sketched(run, parameters)
                                               : select_exact(run, parameters));
  MUSTER_TRY(average_rows(run, selection.rows, outcome));
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(parameters.m) +
                   " selected by " + std::to_string(parameters.q) + " neighbours, " + selection.how;
  return {};
}

}  // namespace muster::robust
