#include "robust_agg/aggregate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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
  } else if (plan.decoded_pitch > 0) {
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

Result<ValidRows> ValidRows::over(const Plan& plan, kernels::Backend& backend, Cohort& cohort) {
  ValidRows valid(plan, backend, cohort);
  if (plan.decoded_pitch > 0) {
    MUSTER_ASSIGN(
        ScopedBuffer decoded,
        ScopedBuffer::allocate(backend, cohort.size() * plan.decoded_pitch * sizeof(float)));
    valid.decoded_.emplace(std::move(decoded));
  }
  return valid;
}

Status ValidRows::settle(std::span<const double> squared_norms, std::vector<bool> broken) {
  const bool reject = plan_->request.invalid_updates == InvalidUpdates::kReject;
  for (std::uint32_t i = 0; i < cohort_->size(); ++i) {
    if (broken[i]) ++invalid_;
    if (broken[i] && reject) continue;
    positions_.push_back(i);
    squared_norms_.push_back(broken[i] ? 0 : squared_norms[i]);
  }
  if (!reject && invalid_ > 0) {
    MUSTER_ASSIGN(ScopedBuffer zeros, ScopedBuffer::allocate(*backend_, plan_->row_pitch));
    zeros_.emplace(std::move(zeros));
    zeroed_ = std::move(broken);
  }
  return {};
}

Result<ValidRows> ValidRows::inspect(const Plan& plan, kernels::Backend& backend, Cohort& cohort) {
  const std::uint32_t size = cohort.size();
  MUSTER_ASSIGN(ValidRows valid, over(plan, backend, cohort));
  std::vector<double> squared_norms(size);
  std::vector<bool> broken(size);
  std::vector<kernels::RowSummary> summaries(size);
  const bool norms = !plan.request.pre_steps.empty() || reads_norms(plan.request.rule);
  for (std::uint32_t c = 0; c < plan.chunk_count && size > 0; ++c) {
    MUSTER_ASSIGN(const kernels::Codes sent, cohort.chunk(c));
    MUSTER_CHECK_OP(sent.n(), ==, std::size_t{size});
    MUSTER_CHECK_OP(sent.d, ==, model_chunk_length(plan, c));
    backend.inspect({valid.take(sent), plan.request.value_bound, summaries, norms},
                    kernels::Stream::kCompute);
    for (std::uint32_t i = 0; i < size; ++i) {
      squared_norms[i] += summaries[i].squared_norm;
      if (!summaries[i].valid()) broken[i] = true;
    }
  }
  MUSTER_TRY(valid.settle(squared_norms, std::move(broken)));
  return valid;
}

Result<ValidRows> ValidRows::presumed(const Plan& plan, kernels::Backend& backend, Cohort& cohort) {
  MUSTER_ASSIGN(ValidRows valid, over(plan, backend, cohort));
  MUSTER_TRY(valid.settle(std::vector<double>(cohort.size()), std::vector<bool>(cohort.size())));
  return valid;
}

Result<ValidRows> ValidRows::from(const SketchedCohort& sketched, const Plan& plan,
                                  kernels::Backend& backend, Cohort& cohort) {
  MUSTER_CHECK_OP(sketched.indices.size(), ==, std::size_t{cohort.size()});
  MUSTER_ASSIGN(ValidRows valid, over(plan, backend, cohort));
  std::vector<double> squared_norms;
  std::vector<bool> broken;
  for (const std::uint32_t index : sketched.indices) {
    squared_norms.push_back(sketched.fold->squared_norm(index));
    broken.push_back(!sketched.fold->valid(index));
  }
  MUSTER_TRY(valid.settle(squared_norms, std::move(broken)));
  return valid;
}

Result<kernels::Codes> Cohort::chunk_of(std::uint32_t index, std::span<const std::uint32_t> rows) {
  MUSTER_ASSIGN(kernels::Codes codes, chunk(index));
  picked_.clear();
  for (const std::uint32_t row : rows) picked_.push_back(codes.rows[row]);
  codes.rows = picked_;
  return codes;
}

SketchKey Cohort::sketch_key() const {
  SketchKey key;
  for (const std::uint64_t rank : ranks()) {
    // Sums: the order of rows must not matter.
    key.low += keyed_word({1, 0}, rank);
    key.high += keyed_word({2, 0}, rank);
  }
  return key;
}

kernels::Codes ValidRows::take(const kernels::Codes& sent) {
  return as_rules_take(*plan_, *backend_, sent, decoded_ ? decoded_->as<float>() : nullptr,
                       decoded_addresses_);
}

Result<std::uint32_t> ValidRows::trusted() const {
  const std::optional<std::uint32_t> position = cohort_->trusted();
  if (!position)
    return Status(Code::kInvalid, "trusted_missing",
                  "the rule needs the update of the task's trusted device; it did not take part");
  const auto found = std::lower_bound(positions_.begin(), positions_.end(), *position);
  if (found == positions_.end() || *found != *position)
    return Status(Code::kInvalid, "trusted_invalid",
                  "the update of the task's trusted device is not finite or out of bound");
  const auto row = static_cast<std::uint32_t>(found - positions_.begin());
  if (!zeroed_.empty() && zeroed_[row])
    return Status(Code::kInvalid, "trusted_invalid",
                  "the update of the task's trusted device is not finite or out of bound");
  return row;
}

kernels::Codes ValidRows::with_zeros(kernels::Codes codes, std::span<const std::uint32_t> rows) {
  if (zeroed_.empty()) return codes;
  addresses_.assign(codes.rows.begin(), codes.rows.end());
  for (std::size_t k = 0; k < addresses_.size(); ++k)
    if (zeroed_[rows.empty() ? k : rows[k]]) addresses_[k] = zeros_->data();
  codes.rows = addresses_;
  return codes;
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index) {
  const bool all = n() == cohort_->size();
  MUSTER_ASSIGN(const kernels::Codes codes,
                all ? cohort_->chunk(index) : cohort_->chunk_of(index, positions_));
  return take(with_zeros(codes, {}));
}

Result<kernels::Codes> ValidRows::chunk(std::uint32_t index, std::span<const std::uint32_t> rows) {
  wanted_.clear();
  for (const std::uint32_t row : rows) wanted_.push_back(positions_[row]);
  MUSTER_ASSIGN(const kernels::Codes codes, cohort_->chunk_of(index, wanted_));
  return take(with_zeros(codes, rows));
}

namespace {

Status run_passes(const Execution& run, Outcome& outcome) {
  const Rule& rule = run.plan.request.rule;
  if (std::holds_alternative<GeometricMedian>(rule)) return geometric_median(run, outcome);
  if (std::holds_alternative<CentredClipping>(rule)) return clip_around_centre(run, outcome);
  if (std::holds_alternative<Cge>(rule)) return average_least_norms(run, outcome);
  if (std::holds_alternative<Monna>(rule)) return average_nearest_trusted(run, outcome);
  MUSTER_CHECK(std::holds_alternative<FlTrust>(rule));
  return average_by_trust(run, outcome);
}

Status run_plain(const Execution& run, Outcome& outcome) {
  switch (shape_of(run.plan.request.rule)) {
    case Shape::kRow:
      return fold_rows(run, outcome);
    case Shape::kPasses:
      return run_passes(run, outcome);
    case Shape::kCoordinate:
      return sum_kept(run, outcome);
    case Shape::kGram:
      return std::holds_alternative<Caf>(run.plan.request.rule) ? filter_by_covariance(run, outcome)
                                                                : average_selected(run, outcome);
  }
  return {};
}

/// A cohort folded at the close.
struct Folded {
  SketchFold fold;
  std::vector<std::uint32_t> indices;
};

Result<Folded> fold_cohort(const Plan& plan, kernels::Backend& backend, Cohort& cohort) {
  MUSTER_ASSIGN(SketchFold fold,
                SketchFold::create(backend, plan, cohort.sketch_key(), cohort.size()));
  Folded folded{std::move(fold), {}};
  std::vector<std::uint32_t> rows;
  for (std::uint32_t row = 0; row < cohort.size(); row += static_cast<std::uint32_t>(rows.size())) {
    rows.resize(std::min<std::size_t>(SketchFold::together(plan), cohort.size() - row));
    std::iota(rows.begin(), rows.end(), row);
    const auto chunk_of = [&](std::uint32_t c) { return cohort.chunk_of(c, rows); };
    MUSTER_ASSIGN(const auto added, folded.fold.add(rows.size(), chunk_of));
    for (const SketchFold::Added& update : added) folded.indices.push_back(update.index);
  }
  return folded;
}

/// Whether the rule's kernel looks at the bound of values itself: then a cohort without an invalid
/// update, as most are, is read once.
bool bounds_as_it_sums(const Plan& plan, const kernels::Backend& backend, const Cohort& cohort) {
  const PlanRequest& request = plan.request;
  const std::uint32_t n = cohort.size();
  if (!request.pre_steps.empty() || shape_of(request.rule) != Shape::kCoordinate ||
      n < minimum_cohort(request.pre_steps, request.rule, n))
    return false;
  const std::uint32_t f = fault_bound(request.pre_steps, request.rule).of(n);
  return window_of(request.rule, n, f).keep == 0 && plan.decoded_pitch == 0 &&
         backend.bounds_kept_sums(request.format.codec);
}

/// The outcome where all rows are valid, else none.
Result<std::optional<Outcome>> aggregate_presumed(const Plan& plan, kernels::Backend& backend,
                                                  Cohort& cohort, std::int64_t* sum) {
  MUSTER_ASSIGN(ValidRows rows, ValidRows::presumed(plan, backend, cohort));
  Outcome outcome;
  outcome.n = rows.n();
  outcome.f = fault_bound(plan.request.pre_steps, plan.request.rule).of(rows.n());
  const Execution run{plan, backend, rows, outcome.f, sum};
  MUSTER_ASSIGN(const bool valid, sum_kept_of_presumed(run, outcome));
  return valid ? std::optional(std::move(outcome)) : std::nullopt;
}

}  // namespace

Result<Outcome> aggregate(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                          std::int64_t* sum, const float* previous,
                          const SketchedCohort* sketched) {
  if (plan.request.sharding)
    return aggregate_shards(plan, backend, cohort, sum, previous, sketched);
  MUSTER_CHECK_OP(cohort.size(), <=, plan.request.max_updates);
  MUSTER_CHECK_OP(cohort.weights().size(), ==, std::size_t{cohort.size()});
  MUSTER_CHECK_OP(cohort.ranks().size(), ==, std::size_t{cohort.size()});
  const Rule& rule = plan.request.rule;
  if (bounds_as_it_sums(plan, backend, cohort)) {
    MUSTER_ASSIGN(std::optional<Outcome> outcome, aggregate_presumed(plan, backend, cohort, sum));
    if (outcome) return std::move(*outcome);
  }
  std::optional<Folded> folded;
  SketchedCohort own;
  if (!uses_sketches(rule)) {
    sketched = nullptr;
  } else if (sketched == nullptr) {
    MUSTER_ASSIGN(Folded made, fold_cohort(plan, backend, cohort));
    folded.emplace(std::move(made));
    own = {&folded->fold, folded->indices};
    sketched = &own;
  }
  MUSTER_ASSIGN(ValidRows rows, sketched != nullptr
                                    ? ValidRows::from(*sketched, plan, backend, cohort)
                                    : ValidRows::inspect(plan, backend, cohort));

  Outcome outcome;
  outcome.n = rows.n();
  const auto& steps = plan.request.pre_steps;
  outcome.f = fault_bound(steps, rule).of(rows.n());
  outcome.invalid = rows.invalid();
  if (sketched != nullptr || !plan.request.pre_steps.empty() || reads_norms(rule))
    for (const double squared : rows.squared_norms()) outcome.norms.add(std::sqrt(squared), false);
  const std::uint32_t needed = minimum_cohort(steps, rule, rows.n());
  if (outcome.n < needed)
    return Status(Code::kInvalid, "cohort_too_small",
                  to_string(steps, rule) + " with f = " + std::to_string(outcome.f) + " needs " +
                      std::to_string(needed) + " valid updates; " + std::to_string(outcome.n) +
                      " of " + std::to_string(cohort.size()) + " are valid");

  const Execution run{plan, backend, rows, outcome.f, sum, previous, sketched};
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
