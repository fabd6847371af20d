// How the rules of each shape run on a cohort; inside this room only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "robust_agg/aggregate.h"

namespace muster::robust {

/// Coordinates of chunk `index`, and where they begin in the vector.
std::size_t chunk_length(const Plan& plan, std::uint32_t index);
std::size_t chunk_begin(const Plan& plan, std::uint32_t index);

/// The rows of a cohort that passed the input contract.
class ValidRows {
 public:
  /// Looks at every chunk of every row once.
  static Result<ValidRows> inspect(const Plan& plan, kernels::Backend& backend, Cohort& cohort);

  /// From what a fold saw; reads nothing.
  static ValidRows from(const SketchedCohort& sketched, Cohort& cohort);

  std::uint32_t n() const { return static_cast<std::uint32_t>(positions_.size()); }
  std::uint32_t invalid() const { return cohort_->size() - n(); }
  /// Position of each row in the cohort, ascending.
  std::span<const std::uint32_t> positions() const { return positions_; }
  std::span<const double> squared_norms() const { return squared_norms_; }
  std::uint32_t weight(std::uint32_t row) const { return cohort_->weights()[positions_[row]]; }
  std::uint64_t rank(std::uint32_t row) const { return cohort_->ranks()[positions_[row]]; }
  /// All valid rows of a chunk, until the next call.
  Result<kernels::Codes> chunk(std::uint32_t index);
  /// The given ones of the valid rows, until the next call.
  Result<kernels::Codes> chunk(std::uint32_t index, std::span<const std::uint32_t> rows);

 private:
  explicit ValidRows(Cohort& cohort) : cohort_(&cohort) {}

  Cohort* cohort_;
  std::vector<std::uint32_t> positions_;
  std::vector<double> squared_norms_;
  std::vector<const std::byte*> addresses_;
};

/// One run of a rule over valid rows. `sum`: plan.request.dimension zeroed sums.
struct Execution {
  const Plan& plan;
  kernels::Backend& backend;
  ValidRows& rows;
  std::uint32_t f;
  std::int64_t* sum;
  const SketchedCohort* sketched = nullptr;  ///< null: nothing was sketched on arrival
};

/// Waits until the rows and host arrays of the jobs queued so far may change.
void finish_jobs(kernels::Backend& backend);

/// By what a row-shaped rule multiplies an update of this norm. Zero norm: 1.
double row_factor(const Rule& rule, double norm);
/// A reported weight as the rule counts it: in [1, max_weight].
std::int64_t counted_weight(const Plan& plan, std::uint32_t reported);

/// Each fills divisor, selected and chosen of `outcome`.
Status fold_rows(const Execution& run, Outcome& outcome);
Status sum_kept(const Execution& run, Outcome& outcome);
Status average_selected(const Execution& run, Outcome& outcome);

}  // namespace muster::robust
