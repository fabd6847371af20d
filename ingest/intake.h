// The verdict on every message and the memory of every open round. Pure: no clock, thread or socket
// of its own, so that tests drive it from a seed. One thread (a receiver) owns an Intake.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/stats.h"
#include "ingest/arrival.h"
#include "ingest/keys.h"
#include "ingest/round_spec.h"
#include "ingest/slots.h"
#include "wire/message.h"

namespace muster::ingest {

/// Who sent a message, as the transport knows it.
struct Peer {
  std::string routing_id;  ///< where replies go; chosen by the client, proves nothing
  std::string user_id;     ///< authenticated (32 key bytes under CURVE); plain mode: routing id
  KeyRing::Entry key;      ///< state and role now, looked up per message
};

/// A message for a peer. `payload` (a ModelChunk) points into `model`.
struct Reply {
  std::string routing_id;
  wire::Message message;
  std::shared_ptr<const PublishedModel> model;
  ConstBytes payload;
};

/// What became of a message: a reply now, or a chunk on its way to the spool (the reply follows its
/// commit), never both.
struct Verdict {
  std::optional<Reply> reply;
  SlotIndex slot = kNoSlot;
};

/// What the node can take right now; most refusals of group 5xx come from here.
struct Pressure {
  bool storage_fault = false;
  bool disk_low = false;
  bool draining = false;
  std::uint32_t retry_ms = 500;  ///< suggested wait, from queue age and arrival rate
};

struct IntakeStats {
  explicit IntakeStats(Stats& stats);
  Counter& received;               ///< Submit messages of sound structure
  Counter& accepted;               ///< updates complete and durable
  Counter& duplicates;             ///< resends answered with the receipt again
  Counter& assigned;               ///< check-ins answered with work,
  Counter& put_off;                ///< and with "retry after"
  std::vector<Counter*> rejected;  ///< refusals, by row of wire::reasons()
  std::vector<Counter*> bytes;     ///< admitted payload bytes by codec
  Tally receipt_seconds;           ///< first byte of the last chunk to receipt
  Counter& rejected_for(wire::Reason reason);
};

class Intake {
 public:
  Intake(SlotPool& slots, const NodeSecret& secret, Stats& stats);
  ~Intake();

  /// Rounds. Tables are allocated here, none later. `recovered` are records already durable.
  void open_round(RoundSpec spec, std::span<const RecordHeader> recovered = {});
  /// No more admissions. True at once if nothing of the round is between slot and disk, else
  /// on_durable() reports the drain.
  bool close_round(TaskId task, RoundNumber round);
  /// For resends after a restart: a sealed round whose updates are known by id only.
  void remember_sealed(TaskId task, const std::string& task_name, SealedRound round);
  void forget_round(TaskId task, RoundNumber round);
  /// Bytes of all tables of an open round that assigns work to at most `max_updates` devices, for
  /// the budget.
  static std::size_t round_bytes(std::uint32_t max_updates, std::uint32_t chunk_count);

  /// frames: header and, where the kind has one, payload. A slot in the verdict is filled (header
  /// and payload) and belongs to the caller, who commits it and then calls on_durable(). From its
  /// commit on the slot may come back to the pool at any time, also before on_durable().
  Verdict on_message(const Peer& peer, std::span<const ConstBytes> frames, Nanoseconds now,
                     const Pressure& pressure);

  /// The records behind these slots are durable. Appends receipts due (coalesced per peer and
  /// round) to `replies` and the rounds that became drained to `drained`.
  void on_durable(std::span<const SlotIndex> slots, Nanoseconds now, std::vector<Reply>& replies,
                  std::vector<std::pair<TaskId, RoundNumber>>& drained);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Value checks on a payload of `coordinates` under `format`, inflated (its length was judged
/// before): scales finite and without a sign, no reserved code or spare bit, indices ascending and
/// in range, every value finite and within `value_bound` (EDEN: judged when it is decoded).
/// `scale_exponents`: of this chunk's blocks, for I8S and I4S. kOk or the reason.
wire::Reason check_payload(ChunkFormat format, std::size_t coordinates, float value_bound,
                           std::span<const std::int8_t> scale_exponents, ConstBytes payload);

}  // namespace muster::ingest
