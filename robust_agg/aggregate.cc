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
    if (broken[i]) continue;
    valid.positions_.push_back(i);
    valid.squared_norms_.push_back(squared_norms[i]);
  }
  return valid;
}

ValidRows ValidRows::from(const SketchedCohort& sketched, Cohort& cohort) {
  MUSTER_CHECK_OP(sketched.indices.size(), ==, std::size_t{cohort.size()});
  ValidRows valid(cohort);
  for (std::uint32_t i = 0; i < cohort.size(); ++i) {
    const std::uint32_t index = sketched.indices[i];
    if (!sketched.fold->valid(index)) continue;
    valid.positions_.push_back(i);
    valid.squared_norms_.push_back(sketched.fold->squared_norm(index));
  }
  return valid;
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index) {
  MUSTER_ASSIGN(kernels::Codes codes, cohort_->chunk(index));
  if (invalid() == 0) return codes;
  addresses_.clear();
  for (const std::uint32_t position : positions_) addresses_.push_back(codes.rows[position]);
  codes.rows = addresses_;
  return codes;
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index, std::span<const std::uint32_t> rows) {
  MUSTER_ASSIGN(kernels::Codes codes, cohort_->chunk(index));
  addresses_.clear();
  for (const std::uint32_t row : rows) addresses_.push_back(codes.rows[positions_[row]]);
  codes.rows = addresses_;
  return codes;
}

Result<Outcome> aggregate(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                          std::int64_t* sum, const SketchedCohort* sketched) {
  MUSTER_CHECK_OP(cohort.size(), <=, plan.request.max_updates);
  MUSTER_CHECK_OP(cohort.weights().size(), ==, std::size_t{cohort.size()});
  MUSTER_CHECK_OP(cohort.ranks().size(), ==, std::size_t{cohort.size()});
  const Rule& rule = plan.request.rule;
  if (sketched != nullptr && !uses_sketches(rule)) sketched = nullptr;
  MUSTER_ASSIGN(ValidRows rows, sketched != nullptr
                                    ? Result<ValidRows>(ValidRows::from(*sketched, cohort))
                                    : ValidRows::inspect(plan, backend, cohort));

  Outcome outcome;
  outcome.n = rows.n();
  outcome.f = fault_bound(rule).of(rows.n());
  outcome.invalid = rows.invalid();
  const std::uint32_t needed = minimum_cohort(rule, outcome.f);
  if (outcome.n < needed)
    return Status(Code::kInvalid, "cohort_too_small",
                  to_string(rule) + " with f = " + std::to_string(outcome.f) + " needs " +
                      std::to_string(needed) + " valid updates; " + std::to_string(outcome.n) +
                      " of " + std::to_string(cohort.size()) + " are valid");

  const Execution run{plan, backend, rows, outcome.f, sum, sketched};
  switch (shape_of(rule)) {
    case Shape::kRow:
      MUSTER_TRY(fold_rows(run, outcome));
      break;
    case Shape::kCoordinate:
      MUSTER_TRY(sum_kept(run, outcome));
      break;
    case Shape::kGram:
      MUSTER_TRY(average_selected(run, outcome));
      break;
  }
  if (outcome.invalid > 0)
    outcome.chosen += ", " + std::to_string(outcome.invalid) + " invalid updates left out";
  return outcome;
}

}  // namespace muster::robust
