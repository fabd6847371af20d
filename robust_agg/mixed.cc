// Rules behind pre-steps. Distance rules stay with the n x n distances: pre-steps change those, the
// rule's coefficients are carried back to the updates, and one pass adds them up. Coordinate rules
// get the mixed rows themselves, made anew for each tile of coordinates.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "robust_agg/bulyan.h"
#include "robust_agg/cloud.h"
#include "robust_agg/coefficients.h"
#include "robust_agg/distances.h"
#include "robust_agg/mda.h"

namespace muster::robust {
namespace {

/// The valid rows in rank order, and what the pre-steps make of them.
struct Mixed {
  std::vector<std::uint32_t> order;  ///< row at each place
  std::vector<double> factors;       ///< one a place
  std::vector<Mixing> stages;
  Cloud cloud;  ///< of the rows after the steps; distances only where they are needed

  std::uint32_t n() const { return cloud.n; }
  bool plain() const {
    return stages.empty() &&
           std::all_of(factors.begin(), factors.end(), [](double factor) { return factor == 1; });
  }
};

std::vector<std::uint32_t> rank_order(const ValidRows& rows) {
  std::vector<std::uint32_t> order(rows.n());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return rows.rank(a) < rows.rank(b); });
  return order;
}

/// Whether `sum` holds the previous aggregate, and that is the origin of the cloud.
bool starts_at_previous(const Execution& run) {
  return uses_previous(run.plan.request.rule) && run.previous != nullptr;
}

Result<Cloud> cloud_of(const Execution& run, std::span<const std::uint32_t> order,
                       bool with_distances) {
  const std::uint32_t n = run.rows.n();
  Cloud cloud{n, {}, {}};
  std::vector<double> squared_norms(run.rows.squared_norms().begin(),
                                    run.rows.squared_norms().end());
  if (starts_at_previous(run)) {
    MUSTER_ASSIGN(squared_norms, begin_at(run, Start::kPrevious));
  }
  for (const std::uint32_t row : order) cloud.squared_norms.push_back(squared_norms[row]);
  if (!with_distances) return cloud;
  MUSTER_ASSIGN(const std::vector<double> distances, all_distances(run));
  cloud.distances.reserve(distances.size());
  for (const std::uint32_t i : order)
    for (const std::uint32_t j : order)
      cloud.distances.push_back(distances[std::size_t{i} * n + j]);
  return cloud;
}

void clip(Mixed& mixed, std::vector<double> factors) {
  if (!mixed.cloud.distances.empty()) mixed.cloud = scaled(std::move(mixed.cloud), factors);
  mixed.factors = std::move(factors);
}

void apply(const PreStep& step, std::uint32_t n, Mixed& mixed) {
  if (const auto* clipping = std::get_if<Clipping>(&step)) {
    std::vector<double> factors;
    for (const double squared : mixed.cloud.squared_norms)
      factors.push_back(clip_factor(std::sqrt(squared), clipping->clip_norm));
    return clip(mixed, std::move(factors));
  }
  if (const auto* clipping = std::get_if<AdaptiveClipping>(&step))
    return clip(mixed, adaptive_factors(mixed.cloud.squared_norms, clipping->f.of(n)));

  const auto* mixing = std::get_if<NeighbourMixing>(&step);
  mixed.stages.push_back(mixing ? nearest_neighbours(mixed.cloud, mixing->f.of(n))
                                : buckets(mixed.n(), std::get<Bucketing>(step).size));
  const Mixing& stage = mixed.stages.back();
  mixed.cloud =
      mixed.cloud.distances.empty() ? Cloud{stage.n(), {}, {}} : robust::mixed(mixed.cloud, stage);
}

Result<Mixed> mix(const Execution& run) {
  const auto& steps = run.plan.request.pre_steps;
  std::vector<std::uint32_t> order = rank_order(run.rows);
  MUSTER_ASSIGN(Cloud cloud, cloud_of(run, order, needs_distances(steps, run.plan.request.rule)));
  Mixed mixed{std::move(order), std::vector<double>(cloud.n, 1.0), {}, std::move(cloud)};
  for (const PreStep& step : steps) apply(step, run.rows.n(), mixed);
  return mixed;
}

/// A stage as the backend takes it, by the members or by the others, whichever are fewer.
struct StageLists {
  Mixing lists;
  bool except = false;
  kernels::MixStage view() const { return {lists.bounds, lists.members, except}; }
};

StageLists lists_of(const Mixing& stage, std::uint32_t n) {
  if (2 * stage.members.size() <= std::size_t{n} * stage.n()) return {stage, false};
  StageLists lists{{}, true};
  std::vector<std::uint32_t> all(n), others;
  std::iota(all.begin(), all.end(), 0u);
  for (std::uint32_t r = 0; r < stage.n(); ++r) {
    others.clear();
    std::ranges::set_difference(all, stage.row(r), std::back_inserter(others));
    lists.lists.add(others);
  }
  return lists;
}

/// Makes the mixed rows, coordinate by coordinate, and sums a window of them.
Status sum_window(const Execution& run, const Mixed& mixed, const Window& window,
                  Outcome& outcome) {
  std::vector<StageLists> lists;
  std::uint32_t n = run.rows.n();
  for (const Mixing& stage : mixed.stages) {
    lists.push_back(lists_of(stage, n));
    n = stage.n();
  }
  std::vector<kernels::MixStage> stages;
  for (const StageLists& stage : lists) stages.push_back(stage.view());
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, mixed.order));
    run.backend.window_sum({codes, mixed.factors, stages, window.cut, window.cut, window.keep,
                            run.plan.grid_bits, run.sum + chunk_begin(run.plan, c)},
                           kernels::Stream::kCompute);
  }
  outcome.divisor = window.keep > 0 ? window.keep : n - 2 * window.cut;
  return {};
}

/// sum = sum factors[i] * x_i, or, with the start v in `sum` already, v + round((sum factors[i] *
/// x_i
/// - v sum factors[i]) / n).
Status add_up(const Execution& run, std::span<const std::uint32_t> rows,
              std::span<const double> factors) {
  const bool from_start = starts_at_previous(run);
  const double pull = std::accumulate(factors.begin(), factors.end(), 0.0);
  MUSTER_ASSIGN(
      const ScopedBuffer buffer,
      ScopedBuffer::allocate(run.backend,
                             from_start ? chunk_length(run.plan, 0) * sizeof(std::int64_t) : 0));
  const std::vector<std::int64_t> weights(rows.size(), 1);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, rows));
    std::int64_t* const sum = run.sum + chunk_begin(run.plan, c);
    std::int64_t* const target = from_start ? buffer.as<std::int64_t>() : sum;
    if (from_start)
      run.backend.fill_zero(buffer.data(), codes.d * sizeof(std::int64_t),
                            kernels::Stream::kCompute);
    run.backend.accumulate({codes, factors, weights, run.plan.grid_bits, target},
                           kernels::Stream::kCompute);
    if (from_start)
      run.backend.merge({target, pull, static_cast<double>(run.rows.n()), sum, codes.d},
                        kernels::Stream::kCompute);
  }
  return {};
}

/// Adds the updates up by the coefficients of the mixed rows. The coefficients of the updates add
/// up to 1 at most, and are multiplied by n, so that roundings shrink with the division.
Status combine(const Execution& run, const Mixed& mixed, std::vector<double> coefficients,
               Outcome& outcome) {
  for (std::size_t s = mixed.stages.size(); s-- > 0;)
    coefficients =
        unmixed(mixed.stages[s], coefficients, s == 0 ? run.rows.n() : mixed.stages[s - 1].n());
  std::vector<std::uint32_t> rows;
  std::vector<double> factors;
  const double n = run.rows.n();
  for (std::size_t place = 0; place < mixed.order.size(); ++place) {
    if (coefficients[place] == 0) continue;
    rows.push_back(mixed.order[place]);
    factors.push_back(n * coefficients[place] * mixed.factors[place]);
  }
  MUSTER_TRY(add_up(run, rows, factors));
  outcome.divisor = starts_at_previous(run) ? 1 : n;
  for (const std::uint32_t row : rows) outcome.selected.add(run.rows.positions()[row]);
  return {};
}

/// The mean of some of the mixed rows.
Status average_mixed(const Execution& run, const Mixed& mixed, std::vector<std::uint32_t> rows,
                     Outcome& outcome) {
  if (mixed.plain()) {
    for (std::uint32_t& row : rows) row = mixed.order[row];
    std::sort(rows.begin(), rows.end());
    return average_rows(run, rows, outcome);
  }
  std::vector<double> coefficients(mixed.n());
  for (const std::uint32_t row : rows) coefficients[row] = 1 / static_cast<double>(rows.size());
  return combine(run, mixed, std::move(coefficients), outcome);
}

/// Bulyan on the mixed rows: those elected are one more stage.
Status trim_elected(const Execution& run, Mixed& mixed, Outcome& outcome) {
  std::vector<std::uint64_t> ranks(mixed.n());
  std::iota(ranks.begin(), ranks.end(), std::uint64_t{0});
  MUSTER_ASSIGN(const std::vector<std::uint32_t> rows,
                elected_rows(GramDistances::of_table(mixed.cloud.distances, mixed.n()), ranks,
                             run.f, nullptr));
  Mixing elected;
  for (const std::uint32_t row : rows) elected.add({&row, 1});
  mixed.stages.push_back(std::move(elected));
  return sum_window(run, mixed, window_of(run.plan.request.rule, mixed.n(), run.f), outcome);
}

}  // namespace

Status run_mixed(const Execution& run, Outcome& outcome) {
  const Rule& rule = run.plan.request.rule;
  MUSTER_ASSIGN(Mixed mixed, mix(run));
  const std::uint32_t n = mixed.n();
  if (std::holds_alternative<Krum>(rule) || std::holds_alternative<MultiKrum>(rule)) {
    MUSTER_TRY(average_mixed(run, mixed, krum_rows(mixed.cloud, krum_parameters(rule, n, run.f)),
                             outcome));
  } else if (std::holds_alternative<Mda>(rule)) {
    MUSTER_TRY(average_mixed(run, mixed, tightest_rows(mixed.cloud, run.f), outcome));
  } else if (const auto* median = std::get_if<GeometricMedian>(&rule)) {
    MUSTER_TRY(combine(run, mixed, geometric_median_coefficients(mixed.cloud, *median), outcome));
    outcome.selected.clear();  // all rows count, more or less
  } else if (const auto* clipping = std::get_if<CentredClipping>(&rule)) {
    MUSTER_TRY(combine(run, mixed, centred_clipping_coefficients(mixed.cloud, *clipping), outcome));
    outcome.selected.clear();
  } else if (std::holds_alternative<Bulyan>(rule)) {
    MUSTER_TRY(trim_elected(run, mixed, outcome));
  } else {
    MUSTER_TRY(sum_window(run, mixed, window_of(rule, n, run.f), outcome));
  }
  outcome.chosen = to_string(run.plan.request.pre_steps, rule) + " of " +
                   std::to_string(run.rows.n()) + " updates, f=" + std::to_string(run.f);
  if (!mixed.stages.empty())
    outcome.chosen += ", " + std::to_string(n) + " rows after the pre-steps";
  return {};
}

}  // namespace muster::robust
