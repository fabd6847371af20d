#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "robust_agg/execution.h"

namespace muster::robust {

bool reads_norms(const Rule& rule) {
  switch (shape_of(rule)) {
    case Shape::kRow:
      return std::holds_alternative<ClippedMean>(rule);
    case Shape::kCoordinate:
      return false;
    case Shape::kPasses:
    case Shape::kGram:
      return true;
  }
  return true;
}

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
    backend.elect(sum, plan.rule_dimension, kernels::Stream::kCompute);
    finish_jobs(backend);
    // Makes a sum of 1 worth `step`.
    outcome.divisor = std::ldexp(1 / majority->step, -plan.grid_bits);
    return;
  }
  outcome.divisor = static_cast<double>(total_weight);
  outcome.chosen += ", weight " + std::to_string(total_weight);
}

}  // namespace

RowFold::RowFold(kernels::Backend& backend, const Plan& plan, std::int64_t* sum, float* decoded,
                 std::uint32_t* counters)
    : backend_(backend),
      plan_(plan),
      sum_(sum),
      decoded_(decoded),
      counters_(counters),
      exponents_(plan.chunk_count),
      taken_(plan.chunk_count),
      decoded_addresses_(plan.chunk_count) {
  MUSTER_CHECK(plan.counting || shape_of(plan.request.rule) == Shape::kRow);
  MUSTER_CHECK(!plan.counting || counters != nullptr);
  MUSTER_CHECK(plan.decoded_pitch == 0 || decoded != nullptr);
}

std::uint32_t* RowFold::counters_of(std::uint32_t chunk) const {
  return counters_ + chunk_begin(plan_, chunk) * kernels::count_bins(plan_.request.format.codec);
}

std::span<const RowFold::Added> RowFold::add(std::span<const kernels::Codes> chunks,
                                             std::span<const std::uint32_t> weights) {
  MUSTER_CHECK_OP(chunks.size(), ==, plan_.chunk_count);
  const std::size_t n = weights.size();
  MUSTER_CHECK(plan_.decoded_pitch == 0 || n == 1);  // there is room for one decoded update
  added_.assign(n, {});
  summaries_.resize(n);
  std::vector<double>& squared_norms = factors_;
  squared_norms.assign(n, 0);
  const bool norms = reads_norms(plan_.request.rule);
  for (std::uint32_t c = 0; c < plan_.chunk_count; ++c) {
    MUSTER_CHECK_OP(chunks[c].d, ==, model_chunk_length(plan_, c));
    MUSTER_CHECK_OP(chunks[c].n(), ==, n);
    float* const decoded = decoded_ == nullptr ? nullptr : decoded_ + c * plan_.decoded_pitch;
    taken_[c] = as_rules_take(plan_, backend_, chunks[c], decoded, decoded_addresses_[c]);
    backend_.inspect({taken_[c], plan_.request.value_bound, summaries_, norms},
                     kernels::Stream::kCompute);
    for (std::size_t i = 0; i < n; ++i) {
      squared_norms[i] += summaries_[i].squared_norm;
      added_[i].non_finite += summaries_[i].non_finite;
      added_[i].out_of_bound += summaries_[i].out_of_bound;
    }
  }
  // The valid ones move to the front.
  rows_.clear();
  counted_.clear();
  for (std::size_t i = 0; i < n; ++i) {
    Added& added = added_[i];
    added.norm = std::sqrt(squared_norms[i]);
    added.valid = added.non_finite == 0 && added.out_of_bound == 0;
    if (!added.valid) {
      // Taken as zero it adds nothing to the sum, and its weight to the divisor.
      if (plan_.request.invalid_updates == InvalidUpdates::kZero) {
        total_weight_ += counted_weight(plan_, weights[i]);
        ++n_;
      }
      continue;
    }
    factors_[rows_.size()] = row_factor(plan_.request.rule, added.norm);
    if (norms) norms_.add(added.norm, factors_[rows_.size()] < 1);
    rows_.push_back(i);
    counted_.push_back(counted_weight(plan_, weights[i]));
    total_weight_ += counted_.back();
  }
  // The grid leaves room for max_updates updates of max_weight and no more.
  n_ += static_cast<std::uint32_t>(rows_.size());
  MUSTER_CHECK_OP(n_, <=, plan_.request.max_updates);
  invalid_ += static_cast<std::uint32_t>(n - rows_.size());
  factors_.resize(rows_.size());
  addresses_.resize(rows_.size());
  for (std::uint32_t c = 0; c < plan_.chunk_count && !rows_.empty(); ++c) {
    kernels::Codes codes = taken_[c];
    for (std::size_t i = 0; i < rows_.size(); ++i) addresses_[i] = codes.rows[rows_[i]];
    codes.rows = addresses_;
    if (plan_.counting) {
      backend_.count({codes, counters_of(c)}, kernels::Stream::kCompute);
      exponents_[c].assign(codes.scale_exponents.begin(), codes.scale_exponents.end());
    } else {
      fold_chunk(plan_, backend_, codes, factors_, counted_, sum_ + chunk_begin(plan_, c));
    }
  }
  return added_;
}

Result<Outcome> RowFold::finish() && {
  if (n_ == 0)
    return Status(Code::kInvalid, "cohort_too_small",
                  std::string(rule_name(plan_.request.rule)) + " needs one valid update; " +
                      std::to_string(invalid_) + " came and all were invalid");
  Outcome outcome;
  outcome.n = n_;
  outcome.invalid = invalid_;
  outcome.norms = std::move(norms_);
  if (plan_.counting)
    MUSTER_TRY(keep_counted(outcome));
  else
    finish_fold(plan_, backend_, total_weight_, sum_, outcome);
  return outcome;
}

Status RowFold::keep_counted(Outcome& outcome) {
  const Rule& rule = plan_.request.rule;
  outcome.f = fault_bound(rule).of(n_);
  if (const std::uint32_t needed = minimum_cohort(rule, outcome.f); n_ < needed)
    return Status(Code::kInvalid, "cohort_too_small",
                  to_string(rule) + " with f = " + std::to_string(outcome.f) + " needs " +
                      std::to_string(needed) + " valid updates; " + std::to_string(n_) +
                      " are valid");
  const std::uint32_t cut = window_of(rule, n_, outcome.f).cut;
  for (std::uint32_t c = 0; c < plan_.chunk_count; ++c) {
    const std::size_t d = chunk_length(plan_, c);
    backend_.kept_sum_of_counts({plan_.request.format, d, exponents_[c], counters_of(c), n_, cut,
                                 cut, plan_.grid_bits, sum_ + chunk_begin(plan_, c)},
                                kernels::Stream::kCompute);
  }
  finish_jobs(backend_);
  outcome.divisor = n_ - 2 * cut;
  outcome.chosen = to_string(rule) + " of " + std::to_string(n_) +
                   " updates, f=" + std::to_string(outcome.f) + ", " +
                   std::to_string(n_ - 2 * cut) + " values kept a coordinate, from histograms";
  return {};
}

Status fold_rows(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  std::vector<double> factors(n);
  std::vector<std::int64_t> weights(n);
  std::int64_t total_weight = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    factors[i] = row_factor(run.plan.request.rule, std::sqrt(run.rows.squared_norms()[i]));
    if (factors[i] < 1) ++outcome.norms.clipped;
    weights[i] = counted_weight(run.plan, run.rows.weight(i));
    total_weight += weights[i];
  }
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    fold_chunk(run.plan, run.backend, codes, factors, weights, run.sum + chunk_begin(run.plan, c));
  }
  finish_fold(run.plan, run.backend, total_weight, run.sum, outcome);
  return {};
}

}  // namespace muster::robust
