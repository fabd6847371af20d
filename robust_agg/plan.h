// A task's plan: grid, memory, layout of codes; or a refusal that names the numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/codec.h"
#include "base/status.h"
#include "robust_agg/pre_step.h"
#include "robust_agg/rule.h"
#include "robust_agg/shard.h"

namespace muster::robust {

/// What becomes of an update that breaks the input contract (docs/rules.md). Both are counted.
enum class InvalidUpdates : std::uint8_t {
  kReject,  ///< left out: n falls
  kZero,    ///< replaced by the zero vector: n stays, as a privacy analysis needs it
};

struct MemoryItem {
  std::string what;
  std::size_t bytes = 0;
};

struct PlanRequest {
  Rule rule;
  std::optional<Sharding> sharding = {};  ///< the rule runs in random shards
  std::uint64_t dimension = 0;
  std::uint32_t chunk_coordinates = 65'536;
  ChunkFormat format;
  std::uint32_t max_updates = 0;
  std::uint32_t max_weight = 1;
  std::uint32_t minimum_cohort = 1;
  float value_bound = 16;
  kernels::Optimiser optimiser = kernels::Optimiser::kSgd;
  std::size_t memory_budget = 0;  ///< bytes the task may use in the backend; 0: no limit
  std::vector<PreStep> pre_steps;
  InvalidUpdates invalid_updates = InvalidUpdates::kReject;
  /// All rows of a chunk are wanted together whatever the rule: nothing is folded on arrival.
  bool keeps_rows = false;
  /// What the caller keeps in backend memory beside what the rule needs.
  std::vector<MemoryItem> beside;
};

struct Plan {
  PlanRequest request;
  std::uint32_t chunk_count = 0;
  /// Coordinates of a full chunk, and of the whole vector, as the rules see them: the model's but
  /// for codecs in a space of the round (RANDK, HSQ). Sums of rules are this long.
  std::size_t rule_chunk = 0;
  std::size_t rule_dimension = 0;
  bool restores = false;      ///< the two spaces differ: restore() follows the rule
  std::size_t row_bytes = 0;  ///< payload of a full chunk, the longest there is
  std::size_t row_pitch = 0;  ///< from a row of a chunk to the next: row_pitch(row_bytes)
  int grid_bits = 0;          ///< g: values are rounded to 2^-g
  bool streaming = false;     ///< updates are folded one by one: shape kRow, or counting
  /// Order statistics from histograms of shared-scale codes: what a coordinate takes does not grow
  /// with the cohort, and the bits are those of the codes.
  bool counting = false;
  std::size_t counter_bytes = 0;  ///< of all histograms
  bool resident =
      false;  ///< codes of all updates stay in backend memory; else re-read from the spool
  /// Streaming: whole updates with room in backend memory before they are folded. One where the
  /// backend folds them as they lie in their slots; else two halves, one filled while the other is
  /// folded.
  std::uint32_t staged_updates = 1;
  /// Rows that are decoded before the rule sees them: f32 of a chunk of one. EDEN, and TOPK where
  /// updates are not folded as they were sent; else 0.
  std::size_t decoded_pitch = 0;
  std::size_t decoded_bytes = 0;  ///< of one update (streaming), or one chunk of all updates
  /// Sketched scores: a SketchFold of max_updates is to be kept while updates arrive. False where
  /// the budget holds those of one shard only: aggregate() then makes them shard by shard.
  bool sketched_on_arrival = false;
  /// The fold also adds up the cohort, which makes exact scores cheap (krum_sketched.cc). Not in
  /// shards: they are not known before the close.
  bool keeps_total = false;
  std::vector<MemoryItem> memory;
  std::size_t peak_bytes = 0;
  /// Rows whose codes a cohort must be able to show together: a shard, or all.
  std::uint32_t rows_at_once() const;
  /// "grid 2^-34 (resolution 5.8e-11), peak 12.4 MiB: accumulator 1.6 MiB, ..."
  std::string describe() const;
};

/// g = min(40, 62 - headroom_bits - ceil(log2(value_bound)) - ceil(log2(max_updates *
/// max_weight))).
int grid_bits(float value_bound, std::uint32_t max_updates, std::uint32_t max_weight,
              int headroom_bits = 0);

/// Bytes from one row of a chunk to the next: whole cache lines, and an odd number of them. Kernels
/// read the same column of all rows, and rows a power of two apart share a few sets of every cache.
std::size_t row_pitch(std::size_t row_bytes);

/// Refusals: "grid_too_coarse" (g < 24), "memory_budget" (with every item), "cohort_too_small" (a
/// cohort a round may close with cannot carry the rule's f), "shard_bound" (the same of a shard),
/// "too_many_subsets" (MDA), "pre_step",
/// "too_many_chunks", "rule_codec", "plan_request" (a number outside its range).
Result<Plan> make_plan(const PlanRequest& request, const kernels::Backend& backend);

}  // namespace muster::robust
