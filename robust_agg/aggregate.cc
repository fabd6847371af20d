#include "robust_agg/aggregate.h"

#include <algorithm>

#include "base/check.h"
#include "base/codec_random.h"
#include "robust_agg/execution.h"

namespace muster::robust {

std::size_t chunk_begin(const Plan& plan, std::uint32_t index) {
  return std::size_t{index} * plan.rule_chunk;
}

std::size_t chunk_length(const Plan& plan, std::uint32_t index) {
  return std::min(plan.rule_chunk, plan.rule_dimension - chunk_begin(plan, index));
}

std::size_t model_chunk_length(const Plan& plan, std::uint32_t index) {
  const PlanRequest& request = plan.request;
  return std::min<std::size_t>(
      request.chunk_coordinates,
      request.dimension - std::uint64_t{index} * request.chunk_coordinates);
}

kernels::Codes as_rules_take(const Plan& plan, kernels::Backend& backend,
                             const kernels::Codes& sent, float* decoded,
                             std::vector<const std::byte*>& addresses) {
  kernels::Codes codes = sent;
  codes.d = rule_coordinates(sent.format, sent.d);
  if (sent.format.codec == Codec::kRandK) {
    codes.format = {sent.format.bits == 16 ? Codec::kF16 : Codec::kF32};
  } else if (needs_expansion(sent.format.codec)) {
    MUSTER_CHECK(decoded != nullptr);
    backend.expand({sent, decoded, plan.decoded_pitch}, kernels::Stream::kCompute);
    addresses.clear();
    for (std::size_t i = 0; i < sent.n(); ++i)
      addresses.push_back(reinterpret_cast<const std::byte*>(decoded + i * plan.decoded_pitch));
    codes.format = {Codec::kF32};
    codes.rows = addresses;
  }
  return codes;
}

void restore(const Plan& plan, kernels::Backend& backend, std::uint64_t seed,
             const std::int64_t* sums, std::int64_t* target) {
  MUSTER_CHECK(plan.restores);
  for (std::uint32_t c = 0; c < plan.chunk_count; ++c)
    backend.restore(
        {plan.request.format, model_chunk_length(plan, c), chunk_key(seed, c),
         sums + chunk_begin(plan, c), target + std::size_t{c} * plan.request.chunk_coordinates},
        kernels::Stream::kCompute);
  finish_jobs(backend);
}

void finish_jobs(kernels::Backend& backend) {
  backend.wait(backend.record(kernels::Stream::kCompute));
}

Result<ValidRows> ValidRows::inspect(const Plan& plan, kernels::Backend& backend, Cohort& cohort) {
  const std::uint32_t size = cohort.size();
  ValidRows valid(plan, backend, cohort);
  if (plan.decoded_pitch > 0) {
    MUSTER_ASSIGN(ScopedBuffer decoded,
                  ScopedBuffer::allocate(backend, size * plan.decoded_pitch * sizeof(float)));
    valid.decoded_.emplace(std::move(decoded));
  }
  std::vector<double> squared_norms(size);
  std::vector<bool> broken(size);
  std::vector<kernels::RowSummary> summaries(size);
  for (std::uint32_t c = 0; c < plan.chunk_count && size > 0; ++c) {
    MUSTER_ASSIGN(const kernels::Codes sent, cohort.chunk(c));
    MUSTER_CHECK_OP(sent.n(), ==, std::size_t{size});
    MUSTER_CHECK_OP(sent.d, ==, model_chunk_length(plan, c));
    backend.inspect({valid.take(sent), plan.request.value_bound, summaries},
                    kernels::Stream::kCompute);
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

kernels::Codes ValidRows::take(const kernels::Codes& sent) {
  return as_rules_take(*plan_, *backend_, sent, decoded_ ? decoded_->as<float>() : nullptr,
                       decoded_addresses_);
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index) {
  MUSTER_ASSIGN(kernels::Codes codes, cohort_->chunk(index));
  if (invalid() == 0) return take(codes);
  addresses_.clear();
  for (const std::uint32_t position : positions_) addresses_.push_back(codes.rows[position]);
  codes.rows = addresses_;
  return take(codes);
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index, std::span<const std::uint32_t> rows) {
  MUSTER_ASSIGN(kernels::Codes codes, cohort_->chunk(index));
  addresses_.clear();
  for (const std::uint32_t row : rows) addresses_.push_back(codes.rows[positions_[row]]);
  codes.rows = addresses_;
  return take(codes);
}

Result<Outcome> aggregate(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                          std::int64_t* sum) {
  MUSTER_CHECK_OP(cohort.size(), <=, plan.request.max_updates);
  MUSTER_CHECK_OP(cohort.weights().size(), ==, std::size_t{cohort.size()});
  MUSTER_CHECK_OP(cohort.ranks().size(), ==, std::size_t{cohort.size()});
  const Rule& rule = plan.request.rule;
  MUSTER_ASSIGN(ValidRows rows, ValidRows::inspect(plan, backend, cohort));

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

  const Execution run{plan, backend, rows, outcome.f, sum};
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
