#include "base/check.h"
#include "robust_agg/execution.h"

namespace muster::robust {

Window window_of(const Rule& rule, std::uint32_t n, std::uint32_t f) {
  // The median keeps the middle value, or the two middle values of an even cohort.
  const std::uint32_t middle = (n - 1) / 2;
  if (std::holds_alternative<Median>(rule)) return {middle, 0};
  if (std::holds_alternative<Meamed>(rule)) return {middle, n - f};
  if (std::holds_alternative<TrimmedMean>(rule)) return {f, 0};
  if (std::holds_alternative<Phocas>(rule)) return {f, n - f};
  if (std::holds_alternative<Bulyan>(rule)) {
    const std::uint32_t elected = n - 2 * f;
    return {(elected - 1) / 2, elected - 2 * f};
  }
  MUSTER_CHECK(std::holds_alternative<Mean>(rule));
  return {0, 0};
}

namespace {

/// `beyond`: null, or where to say that a value is; the rest is not looked at then.
Status sum_kept_chunks(const Execution& run, bool* beyond, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  const auto [cut, keep] = window_of(run.plan.request.rule, n, run.f);
  MUSTER_CHECK_OP(std::uint64_t{2} * cut, <, n);
  const float bound = run.plan.request.value_bound;
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    std::int64_t* const target = run.sum + chunk_begin(run.plan, c);
    if (keep == 0) {
      run.backend.kept_sum({codes, cut, cut, run.plan.grid_bits, target, bound, beyond},
                           kernels::Stream::kCompute);
      if (beyond == nullptr) continue;
      finish_jobs(run.backend);
      if (*beyond) return {};
    } else {
      run.backend.window_sum({codes, {}, {}, cut, cut, keep, run.plan.grid_bits, target},
                             kernels::Stream::kCompute);
    }
  }
  const std::uint32_t kept = keep > 0 ? keep : n - 2 * cut;
  outcome.divisor = kept;
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(kept) +
                   " values kept a coordinate";
  return {};
}

}  // namespace

Status sum_kept(const Execution& run, Outcome& outcome) {
  return sum_kept_chunks(run, nullptr, outcome);
}

Result<bool> sum_kept_of_presumed(const Execution& run, Outcome& outcome) {
  bool beyond = false;
  MUSTER_TRY(sum_kept_chunks(run, &beyond, outcome));
  return !beyond;
}

}  // namespace muster::robust
