// The updates of one round as they come in: which chunks are there, where their codes lie, and the
// sealed set as the rules want it. One thread (the engine).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "ingest/arrival.h"
#include "ingest/inflate.h"
#include "ingest/keys.h"
#include "ingest/slots.h"
#include "ingest/spool.h"
#include "kernels/backend.h"
#include "robust_agg/aggregate.h"
#include "robust_agg/scales.h"
#include "robust_agg/staleness.h"
#include "server/private_sums.h"

namespace muster::server {

/// Where the memory of a round comes from. All outlive it.
struct CohortParts {
  kernels::Backend& backend;
  const ingest::Spool& spool;
  ingest::SlotPool& slots;
  const robust::Plan& plan;
  ingest::NodeSecret round_secret;           ///< canonical ranks and sketches come from it
  std::vector<std::int8_t> scale_exponents;  ///< I8S, I4S: whole vector
  std::optional<DeviceHash> trusted = {};    ///< the task's trusted device, if it has one
  /// Buffered rounds: weights count in robust::kStalenessUnit and fall with staleness.
  std::optional<robust::StalenessWeight> staleness = {};
  /// A private round: sums are on its noise grid and leave only with noise.
  const PrivateRound* privacy = nullptr;
};

/// Collects chunks; for streaming rules folds each update when it is whole, for the others keeps
/// the codes: resident in backend memory where the plan says so, else on disk only. For sketched
/// scores it also makes the sketch of each update when it is whole.
class CohortBuilder {
 public:
  /// Takes backend memory for the sum and the resident codes: "backend_memory" if there is none.
  static Result<std::unique_ptr<CohortBuilder>> create(CohortParts parts);
  ~CohortBuilder();

  /// One durable chunk. Takes the arrival's slot and gives it back when its bytes are not needed
  /// any more. True if this made an update whole. A second copy of a chunk is ignored. Errors are
  /// those of the spool (kCorrupt: the node must not go on).
  Result<bool> add(const ingest::Arrival& arrival);

  /// Folds what waits for company (add() lets whole updates that are to be folded or sketched wait
  /// for a few more: several at once cost less). To be called when no more arrivals come for a
  /// while.
  void flush();

  std::uint32_t complete() const { return complete_; }
  /// Ids of the whole updates, ascending: what a seal fixes.
  std::vector<UpdateId> complete_ids() const;
  /// Gives back every slot still held for updates that never became whole.
  void release_slots();

  struct Aggregated {
    robust::Outcome outcome;
    const std::int64_t* sum = nullptr;  ///< of the model's coordinates; memory of this builder
  };
  /// Runs the rule over exactly the updates `sealed` (ascending). All of them must be whole here:
  /// kCorrupt / "sealed_update_missing" otherwise. `codec_seed`: as the round's devices were told.
  Result<Aggregated> aggregate(std::span<const UpdateId> sealed, std::uint64_t codec_seed,
                               std::span<const float> previous = {});

  struct NoisedAggregate {
    NoisedSums noised;
    const std::int64_t* sum = nullptr;  ///< as Aggregated::sum
  };
  /// The same of a private round, with noise. What it costs has been charged (design.md, law 3).
  Result<NoisedAggregate> aggregate_private(std::span<const UpdateId> sealed,
                                            std::uint64_t codec_seed,
                                            std::span<const float> previous,
                                            const RoundNoise& noise);
  /// Whose updates these are: what a limit of participations counts. In the order of `sealed`.
  Result<std::vector<DeviceHash>> devices_of(std::span<const UpdateId> sealed) const;

  /// Moves `exponents` to where the codes of some updates of `sealed` ask for; which, follows from
  /// the round secret (robust_agg/scales.h). Reads those updates from the spool. After aggregate().
  Status adapt_scales(std::span<const UpdateId> sealed, robust::ScaleRange range,
                      std::span<std::int8_t> exponents);

  /// Host memory of the books for the budget, bytes.
  static std::size_t book_bytes(const robust::Plan& plan);

 private:
  class Sealed;
  struct Chunk {
    ingest::RecordLocation location;
    ingest::SlotIndex slot = ingest::kNoSlot;
    std::uint32_t payload_bytes = 0;
    bool here = false;
  };
  struct Update {
    DeviceHash device;
    std::uint32_t weight = 0;
    std::uint32_t row = 0;
    std::uint32_t chunks_here = 0;
    std::uint32_t sketch = 0;  ///< where sketches are made on arrival
    std::uint32_t stage = 0;   ///< its row of the staged ones, while it waits
    std::vector<Chunk> chunks;
  };
  struct IdHash {
    std::size_t operator()(const UpdateId& id) const { return id.low; }
  };

  explicit CohortBuilder(CohortParts parts);
  /// The whole updates of these ids; kCorrupt / "sealed_update_missing" where one is not.
  Result<std::vector<const Update*>> whole_updates(std::span<const UpdateId> ids) const;
  /// The raw codes of one chunk, until the next call.
  Result<ConstBytes> payload_of(const Update& update, std::uint32_t chunk);
  Status load(const Update& update, std::uint32_t chunk, std::byte* target);
  Status send(Update& update, std::uint32_t chunk, std::byte* target);
  void give_back_sent(bool wait);
  void order_compute();
  Status stage(Update& update);
  Status enlist(Update& update);
  void fold(std::span<Update* const> updates, std::span<const std::byte* const> rows);
  /// The sums of the model's coordinates, from those of the rule's.
  const std::int64_t* restored(std::uint64_t codec_seed);
  const float* uploaded(std::span<const float> previous);
  void wipe(kernels::Buffer buffer);
  Status fold_alone(Update& update);
  Status sketch_alone(Update& update);
  /// Updates that may wait for company, of those that would be welcome.
  std::size_t company(std::size_t wish) const;
  robust::SketchKey sketch_key() const;
  kernels::Codes codes_of(std::uint32_t chunk, std::span<const std::byte* const> rows) const;
  std::byte* resident_row(std::uint32_t chunk, std::uint32_t row) const;
  std::byte* staged_row(std::uint32_t chunk, std::uint32_t row) const;
  /// Whole updates go to the device before they are folded.
  bool stages() const { return parts_.plan.staged_updates > 1; }
  const std::byte* at_hand(const Update& update, std::uint32_t chunk) const;
  void give_back(Chunk& chunk);
  void give_back(Update& update);

  CohortParts parts_;
  std::unordered_map<UpdateId, Update, IdHash> updates_;
  std::uint32_t complete_ = 0;
  std::size_t slots_held_ = 0;
  kernels::Buffer sum_;            ///< of the rule's coordinates
  kernels::Buffer model_sum_;      ///< of the model's, where they differ
  kernels::Buffer counters_;       ///< histograms, where the plan counts
  kernels::Buffer previous_;       ///< the last aggregate, for rules that begin there
  kernels::Buffer decoded_;        ///< streaming rules: one decoded update, where codes need it
  kernels::Buffer codes_;          ///< resident codes; or one chunk of all rows; or one update
  std::vector<std::byte> record_;  ///< a spool record being read
  std::vector<std::byte> inflated_;
  std::optional<ingest::Inflater> inflater_;
  std::optional<robust::RowFold> fold_;      ///< streaming rules
  std::optional<PrivateFold> private_fold_;  ///< in their place in private rounds
  std::optional<robust::SketchFold> sketches_;
  std::vector<Update*> waiting_;  ///< whole, every chunk at hand, not folded yet
  /// A slot on its way to the device, and the point at which it is there.
  struct Sent {
    kernels::Event event;
    ingest::SlotIndex slot;
  };
  std::deque<Sent> sent_;
  kernels::Event arrived_;  ///< all that was sent; the device computes on it after this
  std::array<kernels::Event, 2> folded_;  ///< since when a half of the staged rows is free
  std::uint32_t next_stage_ = 0;
  std::size_t fold_together_ = 1;  ///< most of them
};

}  // namespace muster::server
