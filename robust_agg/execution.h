// How the rules of each shape run on a cohort; inside this room only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "robust_agg/aggregate.h"
#include "robust_agg/buffer.h"

namespace muster::robust {

/// Coordinates of chunk `index` as the rules see them, and where they begin in the sums.
std::size_t chunk_length(const Plan& plan, std::uint32_t index);
std::size_t chunk_begin(const Plan& plan, std::uint32_t index);
/// Coordinates of chunk `index` in the model.
std::size_t model_chunk_length(const Plan& plan, std::uint32_t index);

/// The rows of a cohort that passed the input contract, as the rules take them; where the task
/// takes invalid updates as zero, all rows, with zeros in the place of those that did not.
class ValidRows {
 public:
  /// Looks at every chunk of every row once. Norms are 0 where nobody reads them.
  static Result<ValidRows> inspect(const Plan& plan, kernels::Backend& backend, Cohort& cohort);

  /// All rows, taken to be valid until a kernel says otherwise; reads nothing.
  static Result<ValidRows> presumed(const Plan& plan, kernels::Backend& backend, Cohort& cohort);

  /// From what a fold saw; reads nothing.
  static Result<ValidRows> from(const SketchedCohort& sketched, const Plan& plan,
                                kernels::Backend& backend, Cohort& cohort);

  std::uint32_t n() const { return static_cast<std::uint32_t>(positions_.size()); }
  std::uint32_t invalid() const { return invalid_; }
  /// Position of each row in the cohort, ascending.
  std::span<const std::uint32_t> positions() const { return positions_; }
  std::span<const double> squared_norms() const { return squared_norms_; }
  std::uint32_t weight(std::uint32_t row) const { return cohort_->weights()[positions_[row]]; }
  std::uint64_t rank(std::uint32_t row) const { return cohort_->ranks()[positions_[row]]; }
  /// The trusted row. "trusted_missing" / "trusted_invalid" if it is not among the valid ones.
  Result<std::uint32_t> trusted() const;
  /// All valid rows of a chunk, until the next call.
  Result<kernels::Codes> chunk(std::uint32_t index);
  /// The given ones of the valid rows, until the next call.
  Result<kernels::Codes> chunk(std::uint32_t index, std::span<const std::uint32_t> rows);

 private:
  ValidRows(const Plan& plan, kernels::Backend& backend, Cohort& cohort)
      : plan_(&plan), backend_(&backend), cohort_(&cohort) {}
  /// With room for decoded rows.
  static Result<ValidRows> over(const Plan& plan, kernels::Backend& backend, Cohort& cohort);
  /// One entry a row of the cohort.
  Status settle(std::span<const double> squared_norms, std::vector<bool> broken);
  kernels::Codes take(const kernels::Codes& sent);
  /// The chunk of the given rows, or of all if there are none, with zeros where they belong.
  kernels::Codes with_zeros(kernels::Codes codes, std::span<const std::uint32_t> rows);

  const Plan* plan_;
  kernels::Backend* backend_;
  Cohort* cohort_;
  std::optional<ScopedBuffer> decoded_;  ///< one chunk of all rows
  std::vector<const std::byte*> decoded_addresses_;
  std::vector<std::uint32_t> positions_;
  std::vector<double> squared_norms_;
  std::vector<std::uint32_t> wanted_;
  std::vector<const std::byte*> addresses_;
  std::uint32_t invalid_ = 0;
  std::vector<bool> zeroed_;           ///< one a row; empty if none is
  std::optional<ScopedBuffer> zeros_;  ///< a payload of zeros, whatever the codec
};

/// One run of a rule over valid rows. `sum`: plan.rule_dimension zeroed sums.
struct Execution {
  const Plan& plan;
  kernels::Backend& backend;
  ValidRows& rows;
  std::uint32_t f;
  std::int64_t* sum;
  const float* previous = nullptr;           ///< null: the zero vector
  const SketchedCohort* sketched = nullptr;  ///< null: the rule does not use sketches
};

/// Waits until the jobs queued so far are done.
void finish_jobs(kernels::Backend& backend);

/// Whether a rule without pre-steps looks at the norms of updates.
bool reads_norms(const Rule& rule);
/// What a coordinate rule sums of n sorted values: all but `cut` at each end, or, with the mean of
/// those for a centre, the `keep` nearest to it. Bulyan: of those elected among n rows.
struct Window {
  std::uint32_t cut;
  std::uint32_t keep;
};
Window window_of(const Rule& rule, std::uint32_t n, std::uint32_t f);

/// By what a row-shaped rule multiplies an update of this norm. Zero norm: 1.
double row_factor(const Rule& rule, double norm);
/// A reported weight as the rule counts it: in [1, max_weight].
std::int64_t counted_weight(const Plan& plan, std::uint32_t reported);

/// The sum of the values in ascending order: one number whatever order they came in.
double order_free_sum(std::vector<double> values);
/// The m rows of least (key, rank), ascending. `keys`: one a valid row.
std::vector<std::uint32_t> least_rows(const ValidRows& rows, std::span<const double> keys,
                                      std::uint32_t m);

// One pass over the cohort each.
/// sum += sum over rows of factors[i] * x_i on the grid, every row weighing 1.
Status add_rows(const Execution& run, std::span<const double> factors);
/// sum += the given rows, by valid row.
Status add_rows(const Execution& run, std::span<const std::uint32_t> rows);
/// squared_distances[i] = |x_i - v|^2, v the vector in `sum` times `scale`.
Status measure(const Execution& run, double scale, std::span<double> squared_distances);
/// Brings an iterated rule to where it starts, `sum` being all zeros: the start is in `sum` with
/// divisor 1, and the squared distances of all rows to it are returned. Not for Start::kMean.
Result<std::vector<double>> begin_at(const Execution& run, Start start);

/// Sharded rules: each shard as a cohort of its own, then the mean of the shards (shard.h).
Result<Outcome> aggregate_shards(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                                 std::int64_t* sum, const float* previous,
                                 const SketchedCohort* sketched);
/// The mean of the given valid rows; fills divisor and selected.
Status average_rows(const Execution& run, std::span<const std::uint32_t> rows, Outcome& outcome);

/// Each fills divisor, selected and chosen of `outcome`.
Status fold_rows(const Execution& run, Outcome& outcome);
Status sum_kept(const Execution& run, Outcome& outcome);
/// The same on rows presumed valid, in one pass over them where two are needed otherwise; false,
/// and nothing of use in `outcome` and `sum`, where one is not.
Result<bool> sum_kept_of_presumed(const Execution& run, Outcome& outcome);
Status average_selected(const Execution& run, Outcome& outcome);
Status geometric_median(const Execution& run, Outcome& outcome);
Status clip_around_centre(const Execution& run, Outcome& outcome);
Status average_least_norms(const Execution& run, Outcome& outcome);
Status average_nearest_trusted(const Execution& run, Outcome& outcome);
Status average_by_trust(const Execution& run, Outcome& outcome);
Status filter_by_covariance(const Execution& run, Outcome& outcome);
Status elect_and_trim(const Execution& run, Outcome& outcome);
/// Any rule behind pre-steps, and the rules that are functions of distances alone.
Status run_mixed(const Execution& run, Outcome& outcome);

}  // namespace muster::robust
