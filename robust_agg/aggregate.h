// From a cohort to one vector on the grid.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "robust_agg/plan.h"
#include "robust_agg/sketch.h"

namespace muster::robust {

/// The aggregate before the server step: coordinate k is sum[k] * 2^-grid_bits / divisor.
struct Outcome {
  double divisor = 1;
  std::uint32_t n = 0;  ///< valid updates the rule ran on
  std::uint32_t f = 0;
  std::uint32_t invalid = 0;            ///< left out by the input contract
  std::vector<std::uint32_t> selected;  ///< Krum family: rows used, by cohort position, ascending
  std::string chosen;                   ///< what the planner and rule did, for the round's record
};

/// Folds complete updates while others still arrive, for rules of shape kRow. Integer sums: the
/// order of add() never matters.
class RowFold {
 public:
  /// `sum`: plan.request.dimension zeroed i64 of backend memory, owned by the caller.
  RowFold(kernels::Backend& backend, const Plan& plan, std::int64_t* sum);

  struct Added {
    bool valid = true;
    double norm = 0;
    std::uint32_t non_finite = 0, out_of_bound = 0;
  };
  /// One update: element c of `chunks` is its only row of chunk c. An invalid update adds nothing.
  /// The memory of the update may be reused when the call returns.
  Added add(std::span<const kernels::Codes> chunks, std::uint32_t weight);
  /// kInvalid / "cohort_too_small" if no valid update came.
  Result<Outcome> finish() &&;

 private:
  kernels::Backend& backend_;
  const Plan& plan_;
  std::int64_t* sum_;
  std::int64_t total_weight_ = 0;
  std::uint32_t n_ = 0;
  std::uint32_t invalid_ = 0;
};

/// A sealed cohort for rules that need all rows of a chunk. Row order is the order of the sealed
/// set (ascending update id); no result depends on it but ties, which `ranks` break.
class Cohort {
 public:
  virtual ~Cohort() = default;
  virtual std::uint32_t size() const = 0;
  virtual std::span<const std::uint32_t> weights() const = 0;
  /// Canonical rank key of each row: a keyed hash of the device under the round secret.
  virtual std::span<const std::uint64_t> ranks() const = 0;
  /// All rows of chunk `index`, in backend memory; valid until the next call. May read the spool.
  virtual Result<kernels::Codes> chunk(std::uint32_t index) = 0;
};

/// Runs a rule of any shape on a sealed cohort; a rule of shape kRow gives the bits RowFold gives.
/// `sum` as in RowFold. Invalid rows (non-finite, out of bound) are left out and counted;
/// "cohort_too_small" where the rest is below the rule's minimum for the realised f. `sketched`:
/// for rules with sketched scores, what a SketchFold learnt while the updates came; then the close
/// reads only what it must.
Result<Outcome> aggregate(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                          std::int64_t* sum, const SketchedCohort* sketched = nullptr);

}  // namespace muster::robust
