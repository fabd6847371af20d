// From a cohort to one vector on the grid.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "robust_agg/plan.h"
#include "robust_agg/row_set.h"
#include "robust_agg/sketch.h"

namespace muster::robust {

/// Norms of valid updates, where the rule looked at them: for people, no result depends on it.
struct NormCounts {
  std::vector<std::uint64_t> buckets;  ///< of BucketScale::kNorm; empty: the rule saw no norms
  double sum = 0;
  std::uint32_t clipped = 0;  ///< made shorter by the rule
  void add(double norm, bool was_clipped);
  void add(const NormCounts& other);
};

/// The aggregate before the server step: coordinate k is sum[k] * 2^-grid_bits / divisor, with the
/// sums that restore() made where plan.restores.
struct Outcome {
  double divisor = 1;
  std::uint32_t n = 0;  ///< valid updates the rule ran on
  std::uint32_t f = 0;
  std::uint32_t invalid = 0;  ///< left out, or taken as zero, by the input contract
  RowSet selected;            ///< rules that choose rows: those used, by cohort position
  std::string chosen;         ///< what the planner and rule did, for the round's record
  NormCounts norms;
};

/// Folds complete updates while others still arrive, for plans that are streaming. Integer sums and
/// counts: the order of add() never matters.
class RowFold {
 public:
  /// `sum`: plan.rule_dimension zeroed i64, `decoded`: plan.decoded_bytes, `counters`: zeroed
  /// plan.counter_bytes; backend memory, owned by the caller.
  RowFold(kernels::Backend& backend, const Plan& plan, std::int64_t* sum, float* decoded = nullptr,
          std::uint32_t* counters = nullptr);

  struct Added {
    bool valid = true;
    double norm = 0;  ///< only where the rule looks at norms
    std::uint32_t non_finite = 0, out_of_bound = 0;
  };
  /// A few updates at once, which costs less than one by one: row i of chunks[c] is chunk c of the
  /// update of weights[i]. An invalid update adds nothing; where it is taken as zero, its weight
  /// counts. Codes that have to be decoded first come one update a call. Their memory may be reused
  /// when the call returns; the result is good until the next call.
  std::span<const Added> add(std::span<const kernels::Codes> chunks,
                             std::span<const std::uint32_t> weights);
  Added add(std::span<const kernels::Codes> chunks, std::uint32_t weight) {
    return add(chunks, std::span(&weight, 1))[0];
  }
  /// kInvalid / "cohort_too_small" if no valid update came, or too few for the rule.
  Result<Outcome> finish() &&;

 private:
  Status keep_counted(Outcome& outcome);
  std::uint32_t* counters_of(std::uint32_t chunk) const;

  kernels::Backend& backend_;
  const Plan& plan_;
  std::int64_t* sum_;
  float* decoded_;
  std::uint32_t* counters_;
  std::vector<std::vector<std::int8_t>> exponents_;  ///< counting: the scales of each chunk
  std::int64_t total_weight_ = 0;
  std::uint32_t n_ = 0;
  std::uint32_t invalid_ = 0;
  NormCounts norms_;
  // Of the call under way; kept for their memory.
  std::vector<kernels::Codes> taken_;  ///< the chunks as the rules take them
  std::vector<std::vector<const std::byte*>> decoded_addresses_;
  std::vector<Added> added_;
  std::vector<kernels::RowSummary> summaries_;
  std::vector<double> factors_;
  std::vector<std::int64_t> counted_;
  std::vector<std::size_t> rows_;
  std::vector<const std::byte*> addresses_;
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
  /// All rows of chunk `index` as they were sent, in backend memory; valid until the next call. May
  /// read the spool.
  virtual Result<kernels::Codes> chunk(std::uint32_t index) = 0;
  /// The given rows of chunk `index` only; valid until the next call of either. Where codes lie on
  /// disk only these should be read: sharding asks for no more than Plan::rows_at_once() of them.
  /// Unless overridden, picks from chunk().
  virtual Result<kernels::Codes> chunk_of(std::uint32_t index, std::span<const std::uint32_t> rows);
  /// Secret of this round's sketches, for rules with sketched scores: that of the SketchFold, where
  /// there is one. Unless overridden it is made of the ranks, which no device knows either.
  virtual SketchKey sketch_key() const;
  /// Row of the task's trusted device; none if there is no such device or its update is missing.
  virtual std::optional<std::uint32_t> trusted() const { return std::nullopt; }

 private:
  std::vector<const std::byte*> picked_;
};

/// Runs a rule of any shape on a sealed cohort; a rule of shape kRow gives the bits RowFold gives.
/// `sum` as in RowFold. Invalid rows (non-finite, out of bound) are left out, or taken as zero
/// vectors, as the request says, and counted;
/// "cohort_too_small" where the rest is below the rule's minimum for the realised f.
///
/// `previous`: the aggregate the task released last (ModelState::aggregate), as
/// plan.request.dimension f32 in backend memory; null is the zero vector. Read only where
/// uses_previous(rule), and only a function of earlier releases, so that a restart computes the
/// same again. "previous_out_of_bound" where it is not what a round with this value_bound can
/// release. Rules with uses_trusted() refuse with "trusted_missing" or "trusted_invalid".
///
/// `sketched`: for rules with sketched scores, what a SketchFold learnt while the updates came;
/// then the close reads only what it must. The result is the same without.
Result<Outcome> aggregate(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                          std::int64_t* sum, const float* previous = nullptr,
                          const SketchedCohort* sketched = nullptr);

/// Codes as sent to codes the rules can take: the same, or the k coordinates of RANDK, the rotated
/// ones of HSQ, or where plan.decoded_pitch > 0 values decoded into `decoded`, rows so far apart,
/// whose addresses go to `addresses`. Valid as long as both stay as they are.
kernels::Codes as_rules_take(const Plan& plan, kernels::Backend& backend,
                             const kernels::Codes& sent, float* decoded,
                             std::vector<const std::byte*>& addresses);

/// The sums of a rule as sums of the model's coordinates, where plan.restores. `seed`: of the
/// round, as its devices know it. `sums`: plan.rule_dimension, `target`: plan.request.dimension i64
/// of backend memory.
void restore(const Plan& plan, kernels::Backend& backend, std::uint64_t seed,
             const std::int64_t* sums, std::int64_t* target);

}  // namespace muster::robust
