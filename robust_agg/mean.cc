#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "robust_agg/execution.h"

namespace muster::robust {

double row_factor(const Rule& rule, double norm) {
  const auto* clipped = std::get_if<ClippedMean>(&rule);
  if (clipped == nullptr || norm <= clipped->clip_norm) return 1;
  return clipped->clip_norm / norm;
}

std::int64_t counted_weight(const Plan& plan, std::uint32_t reported) {
  return std::clamp(reported, 1u, plan.request.max_weight);
}

RowFold::RowFold(kernels::Backend& backend, const Plan& plan, std::int64_t* sum, float* decoded)
    : backend_(backend), plan_(plan), sum_(sum), decoded_(decoded), addresses_(plan.chunk_count) {
  MUSTER_CHECK(shape_of(plan.request.rule) == Shape::kRow);
  MUSTER_CHECK(plan.decoded_pitch == 0 || decoded != nullptr);
}

RowFold::Added RowFold::add(std::span<const kernels::Codes> chunks, std::uint32_t weight) {
  MUSTER_CHECK_OP(chunks.size(), ==, plan_.chunk_count);
  Added added;
  double squared_norm = 0;
  rows_.clear();
  for (std::uint32_t c = 0; c < plan_.chunk_count; ++c) {
    MUSTER_CHECK_OP(chunks[c].d, ==, model_chunk_length(plan_, c));
    MUSTER_CHECK_OP(chunks[c].n(), ==, std::size_t{1});
    float* const decoded = decoded_ == nullptr ? nullptr : decoded_ + c * plan_.decoded_pitch;
    rows_.push_back(as_rules_take(plan_, backend_, chunks[c], decoded, addresses_[c]));
    kernels::RowSummary summary;
    backend_.inspect({rows_[c], plan_.request.value_bound, {&summary, 1}},
                     kernels::Stream::kCompute);
    squared_norm += summary.squared_norm;
    added.non_finite += summary.non_finite;
    added.out_of_bound += summary.out_of_bound;
  }
  added.norm = std::sqrt(squared_norm);
  added.valid = added.non_finite == 0 && added.out_of_bound == 0;
  if (!added.valid) {
    ++invalid_;
    return added;
  }
  // The grid leaves room for max_updates updates of max_weight and no more.
  MUSTER_CHECK_OP(n_, <, plan_.request.max_updates);
  const double factor = row_factor(plan_.request.rule, added.norm);
  const std::int64_t counted = counted_weight(plan_, weight);
  for (std::uint32_t c = 0; c < plan_.chunk_count; ++c)
    backend_.accumulate(
        {rows_[c], {&factor, 1}, {&counted, 1}, plan_.grid_bits, sum_ + chunk_begin(plan_, c)},
        kernels::Stream::kCompute);
  finish_jobs(backend_);
  total_weight_ += counted;
  ++n_;
  return added;
}

Result<Outcome> RowFold::finish() && {
  if (n_ == 0)
    return Status(Code::kInvalid, "cohort_too_small",
                  std::string(rule_name(plan_.request.rule)) + " needs one valid update; " +
                      std::to_string(invalid_) + " came and all were invalid");
  Outcome outcome;
  outcome.divisor = static_cast<double>(total_weight_);
  outcome.n = n_;
  outcome.invalid = invalid_;
  outcome.chosen = to_string(plan_.request.rule) + " of " + std::to_string(n_) +
                   " updates, weight " + std::to_string(total_weight_);
  return outcome;
}

Status fold_rows(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  std::vector<double> factors(n);
  std::vector<std::int64_t> weights(n);
  std::int64_t total_weight = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    factors[i] = row_factor(run.plan.request.rule, std::sqrt(run.rows.squared_norms()[i]));
    weights[i] = counted_weight(run.plan, run.rows.weight(i));
    total_weight += weights[i];
  }
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    run.backend.accumulate(
        {codes, factors, weights, run.plan.grid_bits, run.sum + chunk_begin(run.plan, c)},
        kernels::Stream::kCompute);
    finish_jobs(run.backend);
  }
  outcome.divisor = static_cast<double>(total_weight);
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, weight " + std::to_string(total_weight);
  return {};
}

}  // namespace muster::robust
