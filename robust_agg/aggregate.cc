#include "robust_agg/aggregate.h"

#include <algorithm>

#include "base/check.h"
#include "robust_agg/execution.h"

namespace muster::robust {

std::size_t chunk_begin(const Plan& plan, std::uint32_t index) {
  return std::size_t{index} * plan.request.chunk_coordinates;
}

std::size_t chunk_length(const Plan& plan, std::uint32_t index) {
  return std::min<std::size_t>(plan.request.chunk_coordinates,
                               plan.request.dimension - chunk_begin(plan, index));
}

void finish_jobs(kernels::Backend& backend) {
  backend.wait(backend.record(kernels::Stream::kCompute));
}

Result<ValidRows> ValidRows::inspect(const Plan& plan, kernels::Backend& backend, Cohort& cohort) {
  const std::uint32_t size = cohort.size();
  ValidRows valid(cohort);
  std::vector<double> squared_norms(size);
  std::vector<bool> broken(size);
  std::vector<kernels::RowSummary> summaries(size);
  const bool reject = plan.request.invalid_updates == InvalidUpdates::kReject;
  for (std::uint32_t c = 0; c < plan.chunk_count && size > 0; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, cohort.chunk(c));
    MUSTER_CHECK_OP(codes.n(), ==, std::size_t{size});
    MUSTER_CHECK_OP(codes.d, ==, chunk_length(plan, c));
    backend.inspect({codes, plan.request.value_bound, summaries}, kernels::Stream::kCompute);
    for (std::uint32_t i = 0; i < size; ++i) {
      squared_norms[i] += summaries[i].squared_norm;
      if (!summaries[i].valid()) broken[i] = true;
    }
  }
  for (std::uint32_t i = 0; i < size; ++i) {
    if (broken[i]) ++valid.invalid_;
    if (broken[i] && reject) continue;
    valid.positions_.push_back(i);
    valid.squared_norms_.push_back(broken[i] ? 0 : squared_norms[i]);
  }
  if (!reject && valid.invalid_ > 0) {
    MUSTER_ASSIGN(ScopedBuffer zeros, ScopedBuffer::allocate(backend, plan.row_pitch));
    valid.zeros_.emplace(std::move(zeros));
    valid.zeroed_ = std::move(broken);
  }
  return valid;
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index) {
  MUSTER_ASSIGN(kernels::Codes codes, cohort_->chunk(index));
  if (invalid() == 0) return codes;
  addresses_.clear();
  for (std::uint32_t row = 0; row < n(); ++row) addresses_.push_back(address(codes, row));
  codes.rows = addresses_;
  return codes;
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index, std::span<const std::uint32_t> rows) {
  MUSTER_ASSIGN(kernels::Codes codes, cohort_->chunk(index));
  addresses_.clear();
  for (const std::uint32_t row : rows) addresses_.push_back(address(codes, row));
  codes.rows = addresses_;
  return codes;
}

namespace {

Status run_plain(const Execution& run, Outcome& outcome) {
  switch (shape_of(run.plan.request.rule)) {
    case Shape::kRow:
      return fold_rows(run, outcome);
    case Shape::kCoordinate:
      return sum_kept(run, outcome);
    case Shape::kGram:
      return average_selected(run, outcome);
  }
  return {};
}

}  // namespace

Result<Outcome> aggregate(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                          std::int64_t* sum) {
  MUSTER_CHECK_OP(cohort.size(), <=, plan.request.max_updates);
  MUSTER_CHECK_OP(cohort.weights().size(), ==, std::size_t{cohort.size()});
  MUSTER_CHECK_OP(cohort.ranks().size(), ==, std::size_t{cohort.size()});
  const Rule& rule = plan.request.rule;
  MUSTER_ASSIGN(ValidRows rows, ValidRows::inspect(plan, backend, cohort));

  Outcome outcome;
  outcome.n = rows.n();
  const auto& steps = plan.request.pre_steps;
  outcome.f = fault_bound(steps, rule).of(rows.n());
  outcome.invalid = rows.invalid();
  const std::uint32_t needed = minimum_cohort(steps, rule, rows.n());
  if (outcome.n < needed)
    return Status(Code::kInvalid, "cohort_too_small",
                  to_string(steps, rule) + " with f = " + std::to_string(outcome.f) + " needs " +
                      std::to_string(needed) + " valid updates; " + std::to_string(outcome.n) +
                      " of " + std::to_string(cohort.size()) + " are valid");

  const Execution run{plan, backend, rows, outcome.f, sum};
  if (!steps.empty() || std::holds_alternative<Mda>(rule)) {
    MUSTER_TRY(run_mixed(run, outcome));
  } else if (std::holds_alternative<Bulyan>(rule)) {
    MUSTER_TRY(elect_and_trim(run, outcome));
  } else {
    MUSTER_TRY(run_plain(run, outcome));
  }
  if (outcome.invalid > 0)
    outcome.chosen +=
        ", " + std::to_string(outcome.invalid) + " invalid updates " +
        (plan.request.invalid_updates == InvalidUpdates::kReject ? "left out" : "taken as zero");
  return outcome;
}

}  // namespace muster::robust
