// Sketches of updates: 4096 numbers whose inner products estimate those of the updates, made while
// the updates arrive, so that a large cohort can be ranked without an n x n pass over its codes.
//
// Each block of 64 coordinates is added, with secret signs, to a secret place among the cells
// (kernels::SketchJob). <sketch x, sketch y> has mean <x, y> and variance at most about
// (|x|^2 |y|^2 + <x, y>^2) / 4096 over the secret: whoever does not know it cannot aim at it.
// Vectors of at most 4096 coordinates (64 whole blocks) lie side by side: their sketches err by
// rounding only. Else places are multiples of 8 cells (whole cache lines): two rows with all their
// energy in the same eighth of the lanes have up to eight times that variance with each other,
// which the margin of Krum covers. Cells are then kept as I8B codes of 4 KiB; rounding adds some
// 3 % to the deviation.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "robust_agg/buffer.h"
#include "robust_agg/plan.h"

namespace muster::robust {

constexpr std::uint32_t kSketchCells = 4096;
constexpr ChunkFormat kSketchFormat{Codec::kI8B, 8};

/// Secret of one round's sketches; fresh every round.
struct SketchKey {
  std::uint64_t low = 0, high = 0;
};
/// SipHash-2-4 of the counter as 8 little-endian bytes.
std::uint64_t keyed_word(SketchKey key, std::uint64_t counter);

/// Signs and places of all blocks of a task's vector as the rules see it, in backend memory.
class SketchPattern {
 public:
  static Result<SketchPattern> create(kernels::Backend& backend, const Plan& plan, SketchKey key);
  /// The job that adds chunk `index` of some rows to `target` (n x kSketchCells sums).
  kernels::SketchJob job(std::uint32_t index, const kernels::Codes& codes,
                         std::int64_t* target) const;
  static std::size_t bytes(const Plan& plan);

 private:
  SketchPattern(ScopedBuffer signs, ScopedBuffer places, std::size_t blocks_of_chunk, int unit_bits)
      : signs_(std::move(signs)),
        places_(std::move(places)),
        blocks_of_chunk_(blocks_of_chunk),
        unit_bits_(unit_bits) {}

  ScopedBuffer signs_, places_;
  std::size_t blocks_of_chunk_;
  int unit_bits_;
};

/// Sketches kept as codes of kSketchFormat, in backend memory.
class SketchStore {
 public:
  static Result<SketchStore> create(kernels::Backend& backend, std::uint32_t capacity);
  static std::size_t bytes(std::uint32_t capacity);
  /// Rounds kSketchCells sums in backend memory to codes; returns the index of the sketch. Waits
  /// for the sums.
  std::uint32_t add(const std::int64_t* sums, int unit_bits);
  std::uint32_t size() const { return size_; }
  const std::byte* row(std::uint32_t index) const;

 private:
  SketchStore(kernels::Backend& backend, ScopedBuffer buffer, std::uint32_t capacity)
      : backend_(&backend), buffer_(std::move(buffer)), capacity_(capacity) {}

  kernels::Backend* backend_;
  ScopedBuffer buffer_;
  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  std::vector<std::int64_t> sums_;  ///< on the host
};

/// Bits after the point of a sketch's integers: the bound of the task's values is below 2^30 units.
int sketch_unit_bits(float value_bound);

/// Sketches complete updates while others still arrive, for rules with sketched scores: then the
/// close reads no codes but those of the rows it must look at closely. One thread. The server gives
/// aggregate() a SketchedCohort where the plan says so; without one, aggregate() folds the cohort
/// itself. Sketches are a function of update and key: it makes no difference but in time.
class SketchFold {
 public:
  /// `plan` and `backend` must outlive the fold. `key`: Cohort::sketch_key(). `capacity`: updates,
  /// at most.
  static Result<SketchFold> create(kernels::Backend& backend, const Plan& plan, SketchKey key,
                                   std::uint32_t capacity);
  static std::size_t bytes(const Plan& plan, std::uint32_t capacity);
  /// Updates add() takes at most; several at once cost less. Codes that have to be decoded first
  /// come one by one.
  static std::size_t together(const Plan& plan) { return plan.decoded_pitch > 0 ? 1 : 16; }

  struct Added {
    std::uint32_t index = 0;  ///< of the update within this fold: how many were added before
    bool valid = true;
    double norm = 0;
    std::uint32_t non_finite = 0, out_of_bound = 0;
  };
  /// Chunk c of the updates that are added, a row each, as they were sent; valid until the next
  /// call.
  using Chunks = std::function<Result<kernels::Codes>(std::uint32_t)>;
  /// Adds `n` updates, chunk by chunk; the answer is good until the next call. The sketch of an
  /// invalid one is zero. Fails with what `chunk_of` fails with; the fold is of no use then.
  Result<std::span<const Added>> add(std::size_t n, const Chunks& chunk_of);
  /// One that is all in backend memory.
  Added add(std::span<const kernels::Codes> chunks) {
    return add(1, [&](std::uint32_t c) -> Result<kernels::Codes> { return chunks[c]; }).value()[0];
  }

  std::uint32_t size() const { return static_cast<std::uint32_t>(squared_norms_.size()); }
  bool valid(std::uint32_t index) const { return valid_[index]; }
  double squared_norm(std::uint32_t index) const { return squared_norms_[index]; }
  const std::byte* sketch(std::uint32_t index) const { return store_.row(index); }
  /// Where the plan keeps it, the sum of all valid updates on the grid of the round: plan.
  /// rule_dimension of backend memory. Null else.
  const std::int64_t* total() const {
    return plan_->keeps_total ? total_.as<const std::int64_t>() : nullptr;
  }

 private:
  SketchFold(kernels::Backend& backend, const Plan& plan, SketchPattern pattern, SketchStore store,
             ScopedBuffer sums, ScopedBuffer decoded, ScopedBuffer total)
      : backend_(&backend),
        plan_(&plan),
        pattern_(std::move(pattern)),
        store_(std::move(store)),
        sums_(std::move(sums)),
        decoded_(std::move(decoded)),
        total_(std::move(total)) {}
  Status take(std::uint32_t chunk, const Chunks& chunk_of);
  Status withdraw(const Chunks& chunk_of);
  void add_to_total(std::uint32_t chunk, const kernels::Codes& codes,
                    std::span<const double> factors);

  kernels::Backend* backend_;
  const Plan* plan_;
  SketchPattern pattern_;
  SketchStore store_;
  ScopedBuffer sums_;
  ScopedBuffer decoded_;  ///< one chunk, where the codec needs it
  ScopedBuffer total_;
  std::vector<const std::byte*> decoded_address_;
  std::vector<double> squared_norms_;
  std::vector<bool> valid_;
  // Of the updates under way.
  std::vector<Added> added_;
  std::vector<double> norms_;  ///< squared
  std::vector<std::uint32_t> chunks_in_total_;
  std::vector<kernels::RowSummary> summaries_;
};

/// What a fold knows about the rows of a sealed cohort.
struct SketchedCohort {
  const SketchFold* fold = nullptr;
  std::span<const std::uint32_t> indices;  ///< Added::index of each row of the cohort
};

}  // namespace muster::robust
