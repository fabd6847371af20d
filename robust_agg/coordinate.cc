#include "base/check.h"
#include "robust_agg/execution.h"

namespace muster::robust {

Status sum_kept(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  const bool median = std::holds_alternative<Median>(run.plan.request.rule);
  // The median keeps the middle value, or the two middle values of an even cohort.
  const std::uint32_t out = median ? (n - 1) / 2 : run.f;
  MUSTER_CHECK_OP(std::uint64_t{2} * out, <, n);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    run.backend.kept_sum({codes, out, out, run.plan.grid_bits, run.sum + chunk_begin(run.plan, c)},
                         kernels::Stream::kCompute);
    finish_jobs(run.backend);
  }
  const std::uint32_t kept = n - 2 * out;
  outcome.divisor = kept;
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(kept) +
                   " values kept a coordinate";
  return {};
}

}  // namespace muster::robust
