// Centred clipping. The centre v lies on the grid in `sum`; a step adds
// round((sum_i round(w_i s_i x_i) - v sum_i w_i s_i) / W), s_i = min(1, tau / |x_i - v|). One pass
// over the cohort a step, and one to measure from the start unless that is zero.
#include <algorithm>
#include <cmath>

#include "robust_agg/buffer.h"
#include "robust_agg/execution.h"

namespace muster::robust {
namespace {

struct Pull {
  std::vector<double> factors;        ///< s_i
  std::vector<std::int64_t> weights;  ///< w_i
  double total = 0;                   ///< sum w_i s_i
  std::uint32_t clipped = 0;
};

Pull pull_of(const Execution& run, double tau, std::span<const double> squared_distances) {
  Pull pull;
  std::vector<double> terms;
  for (std::uint32_t i = 0; i < run.rows.n(); ++i) {
    const double distance = std::sqrt(squared_distances[i]);
    const bool clipped = distance > tau;
    pull.factors.push_back(clipped ? tau / distance : 1);
    pull.weights.push_back(counted_weight(run.plan, run.rows.weight(i)));
    pull.clipped += clipped ? 1 : 0;
    terms.push_back(static_cast<double>(pull.weights.back()) * pull.factors.back());
  }
  pull.total = order_free_sum(std::move(terms));
  return pull;
}

}  // namespace

Status clip_around_centre(const Execution& run, Outcome& outcome) {
  const auto& rule = std::get<CentredClipping>(run.plan.request.rule);
  const std::uint32_t n = run.rows.n();
  MUSTER_ASSIGN(std::vector<double> squared_distances, begin_at(run, rule.start));
  MUSTER_ASSIGN(
      const ScopedBuffer buffer,
      ScopedBuffer::allocate(run.backend, chunk_length(run.plan, 0) * sizeof(std::int64_t)));
  auto* chunk_sum = buffer.as<std::int64_t>();
  Pull pull;
  for (std::uint32_t step = 1; step <= rule.iterations; ++step) {
    pull = pull_of(run, rule.tau, squared_distances);
    std::int64_t weight = 0;
    for (const std::int64_t w : pull.weights) weight += w;
    std::fill(squared_distances.begin(), squared_distances.end(), 0.0);
    for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
      MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
      std::int64_t* centre = run.sum + chunk_begin(run.plan, c);
      run.backend.fill_zero(buffer.data(), codes.d * sizeof(std::int64_t),
                            kernels::Stream::kCompute);
      run.backend.accumulate({codes, pull.factors, pull.weights, run.plan.grid_bits, chunk_sum},
                             kernels::Stream::kCompute);
      run.backend.merge({chunk_sum, pull.total, static_cast<double>(weight), centre, codes.d},
                        kernels::Stream::kCompute);
      if (step < rule.iterations)
        run.backend.relate(
            {codes, centre, std::ldexp(1.0, -run.plan.grid_bits), squared_distances, {}},
            kernels::Stream::kCompute);
    }
  }
  outcome.divisor = 1;
  const bool at_previous = rule.start == Start::kPrevious && run.previous != nullptr;
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates from the " + (at_previous ? "previous aggregate, " : "zero vector, ") +
                   std::to_string(pull.clipped) + " clipped in the last step";
  return {};
}

}  // namespace muster::robust
