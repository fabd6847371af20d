// The geometric median by Weiszfeld steps from the original weights (never from the last step's:
// that does not converge to it). One pass over the cohort a step: a chunk of the next point is
// complete when its rows are added, so the distances to it are measured while they are at hand.
#include <algorithm>
#include <cmath>

#include "robust_agg/execution.h"

namespace muster::robust {
namespace {

/// In (0, 1], so that grid sums hold them whatever 1 / smoothing is.
std::vector<double> normalised(std::vector<double> factors) {
  const double greatest = *std::max_element(factors.begin(), factors.end());
  for (double& factor : factors) factor /= greatest;
  return factors;
}

std::vector<double> weights_of(const Execution& run) {
  std::vector<double> weights;
  for (std::uint32_t i = 0; i < run.rows.n(); ++i)
    weights.push_back(static_cast<double>(counted_weight(run.plan, run.rows.weight(i))));
  return weights;
}

std::vector<double> pulls(const Execution& run, double smoothing,
                          std::span<const double> squared_distances) {
  std::vector<double> factors = weights_of(run);
  for (std::uint32_t i = 0; i < run.rows.n(); ++i)
    factors[i] /= std::max(smoothing, std::sqrt(squared_distances[i]));
  return normalised(std::move(factors));
}

/// sum w_i h(|z - x_i|), the smoothed objective no step raises: h(r) = r, below the smoothing s
/// (r^2 + s^2) / 2s.
double objective(const Execution& run, double smoothing,
                 std::span<const double> squared_distances) {
  std::vector<double> terms = weights_of(run);
  for (std::uint32_t i = 0; i < run.rows.n(); ++i) {
    const double distance = std::sqrt(squared_distances[i]);
    const double smoothed = distance > smoothing
                                ? distance
                                : (squared_distances[i] + smoothing * smoothing) / (2 * smoothing);
    terms[i] *= smoothed;
  }
  return order_free_sum(std::move(terms));
}

/// Replaces `sum` by sum factors[i] * x_i and measures the rows from sum / divisor, unless that is
/// empty.
Status move(const Execution& run, std::span<const double> factors, double divisor,
            std::span<double> squared_distances) {
  const double scale = std::ldexp(1.0, -run.plan.grid_bits) / divisor;
  std::fill(squared_distances.begin(), squared_distances.end(), 0.0);
  const std::vector<std::int64_t> weights(run.rows.n(), 1);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    std::int64_t* target = run.sum + chunk_begin(run.plan, c);
    run.backend.fill_zero(reinterpret_cast<std::byte*>(target), codes.d * sizeof(std::int64_t),
                          kernels::Stream::kCompute);
    run.backend.accumulate({codes, factors, weights, run.plan.grid_bits, target},
                           kernels::Stream::kCompute);
    if (!squared_distances.empty())
      run.backend.relate({codes, target, scale, squared_distances, {}}, kernels::Stream::kCompute);
  }
  return {};
}

}  // namespace

Status geometric_median(const Execution& run, Outcome& outcome) {
  const auto& rule = std::get<GeometricMedian>(run.plan.request.rule);
  std::vector<double> squared_distances(run.rows.n());
  if (rule.start == Start::kMean) {
    const std::vector<double> factors = normalised(weights_of(run));
    MUSTER_TRY(move(run, factors, order_free_sum(factors), squared_distances));
  } else {
    MUSTER_ASSIGN(squared_distances, begin_at(run, rule.start));
  }
  const bool watch = rule.tolerance > 0;
  double before = watch ? objective(run, rule.smoothing, squared_distances) : 0;
  std::uint32_t steps = 0;
  bool settled = false;
  while (steps < rule.iterations && !settled) {
    ++steps;
    const std::vector<double> factors = pulls(run, rule.smoothing, squared_distances);
    outcome.divisor = order_free_sum(factors);
    const bool measured = watch || steps < rule.iterations;
    MUSTER_TRY(move(run, factors, outcome.divisor,
                    measured ? std::span<double>(squared_distances) : std::span<double>()));
    if (!watch) continue;
    const double after = objective(run, rule.smoothing, squared_distances);
    settled = before - after <= rule.tolerance * after;
    before = after;
  }
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(run.rows.n()) +
                   " updates, " + std::to_string(steps) + " steps" +
                   (settled ? ", settled"
                    : watch ? ", not settled"
                            : "");
  return {};
}

}  // namespace muster::robust
