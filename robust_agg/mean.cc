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

namespace {

/// What rules of shape kRow do with one chunk of some rows.
void fold_chunk(const Plan& plan, kernels::Backend& backend, const kernels::Codes& codes,
                std::span<const double> factors, std::span<const std::int64_t> weights,
                std::int64_t* target) {
  if (std::holds_alternative<SignMajority>(plan.request.rule))
    backend.vote({codes, target}, kernels::Stream::kCompute);
  else
    backend.accumulate({codes, factors, weights, plan.grid_bits, target},
                       kernels::Stream::kCompute);
}

/// What is left to do when all rows are in `sum`.
void finish_fold(const Plan& plan, kernels::Backend& backend, std::int64_t total_weight,
                 std::int64_t* sum, Outcome& outcome) {
  outcome.chosen = to_string(plan.request.rule) + " of " + std::to_string(outcome.n) + " updates";
  if (const auto* majority = std::get_if<SignMajority>(&plan.request.rule)) {
    backend.elect(sum, plan.request.dimension, kernels::Stream::kCompute);
    finish_jobs(backend);
    // Makes a sum of 1 worth `step`.
    outcome.divisor = std::ldexp(1 / majority->step, -plan.grid_bits);
    return;
  }
  outcome.divisor = static_cast<double>(total_weight);
  outcome.chosen += ", weight " + std::to_string(total_weight);
}

}  // namespace

RowFold::RowFold(kernels::Backend& backend, const Plan& plan, std::int64_t* sum)
    : backend_(backend), plan_(plan), sum_(sum) {
  MUSTER_CHECK(shape_of(plan.request.rule) == Shape::kRow);
}

RowFold::Added RowFold::add(std::span<const kernels::Codes> chunks, std::uint32_t weight) {
  MUSTER_CHECK_OP(chunks.size(), ==, plan_.chunk_count);
  Added added;
  double squared_norm = 0;
  for (std::uint32_t c = 0; c < plan_.chunk_count; ++c) {
    MUSTER_CHECK_OP(chunks[c].d, ==, chunk_length(plan_, c));
    MUSTER_CHECK_OP(chunks[c].n(), ==, std::size_t{1});
    kernels::RowSummary summary;
    backend_.inspect({chunks[c], plan_.request.value_bound, {&summary, 1}},
                     kernels::Stream::kCompute);
    squared_norm += summary.squared_norm;
    added.non_finite += summary.non_finite;
    added.out_of_bound += summary.out_of_bound;
  }
  added.norm = std::sqrt(squared_norm);
  added.valid = added.non_finite == 0 && added.out_of_bound == 0;
  if (!added.valid) {
    ++invalid_;
    if (plan_.request.invalid_updates == InvalidUpdates::kReject) return added;
    MUSTER_CHECK_OP(n_, <, plan_.request.max_updates);
    total_weight_ += counted_weight(plan_, weight);
    ++n_;
    return added;
  }
  // The grid leaves room for max_updates updates of max_weight and no more.
  MUSTER_CHECK_OP(n_, <, plan_.request.max_updates);
  const double factor = row_factor(plan_.request.rule, added.norm);
  const std::int64_t counted = counted_weight(plan_, weight);
  for (std::uint32_t c = 0; c < plan_.chunk_count; ++c)
    fold_chunk(plan_, backend_, chunks[c], {&factor, 1}, {&counted, 1},
               sum_ + chunk_begin(plan_, c));
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
  outcome.n = n_;
  outcome.invalid = invalid_;
  finish_fold(plan_, backend_, total_weight_, sum_, outcome);
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
    fold_chunk(run.plan, run.backend, codes, factors, weights, run.sum + chunk_begin(run.plan, c));
    finish_jobs(run.backend);
  }
  finish_fold(run.plan, run.backend, total_weight, run.sum, outcome);
  return {};
}

}  // namespace muster::robust
