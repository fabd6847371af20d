// The inside of an Intake; intake*.cc only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ingest/inflate.h"
#include "ingest/intake.h"
#include "ingest/intake_tasks.h"

namespace muster::ingest {

/// A chunk between slot and disk, and where its receipt would go.
struct PendingChunk {
  TaskBook* book = nullptr;
  RoundTable* table = nullptr;  ///< null: none
  std::uint32_t update = 0;
  std::uint32_t chunk = 0;
  std::uint64_t device = 0;
  Nanoseconds received = 0;
  std::string routing_id;
  /// The slot is back from the engine already; ours until we hear that it is durable.
  bool returned = false;
};

struct DueReceipt {
  std::string routing_id;
  TaskId task;
  RoundNumber round;
  wire::ReceiptEntry entry;
  std::optional<LedgerHead> ledger;

  bool same_message(const DueReceipt& other) const {
    return routing_id == other.routing_id && task == other.task && round == other.round &&
           ledger == other.ledger;
  }
};

struct Intake::State {
  SlotPool& slots;
  const NodeSecret secret;
  IntakeStats stats;
  TaskBooks tasks;
  std::vector<PendingChunk> pending;  ///< by slot
  std::vector<DueReceipt> due;
  std::optional<Inflater> inflater;  ///< made when the first zstd frame comes
  std::vector<std::byte> inflated;   ///< at most limits::kPayloadBytes

  /// A message being judged.
  struct Inquiry {
    const Peer& peer;
    const wire::Message& message;
    ConstBytes payload;
    Nanoseconds now;
    const Pressure& pressure;
  };

  State(SlotPool& pool, const NodeSecret& node_secret, Stats& counters)
      : slots(pool), secret(node_secret), stats(counters), pending(pool.count()) {
    due.reserve(pool.count());
  }

  Verdict answer(const Inquiry& inquiry, wire::Body body) const;
  Verdict refuse(const Inquiry& inquiry, wire::Reason reason);
  Verdict put_off(const Inquiry& inquiry, wire::Reason reason);
  Verdict receipt_again(const Inquiry& inquiry, wire::Receipt receipt) const;

  Verdict on(const Inquiry& inquiry, const wire::Hello& hello);
  Verdict on(const Inquiry& inquiry, const wire::CheckIn& check_in);
  Verdict on(const Inquiry& inquiry, const wire::FetchModel& fetch);
  Verdict on(const Inquiry& inquiry, const wire::Submit& submit);
  Verdict on(const Inquiry& inquiry, const wire::QueryMissing& query);
  /// The kinds that only a server sends.
  template <class Other>
  Verdict on(const Inquiry& inquiry, const Other&) {
    return refuse(inquiry, wire::Reason::kUnexpectedKind);
  }

  Verdict admit(const Inquiry& inquiry, const wire::Submit& submit, TaskBook& book,
                RoundTable& table, const DeviceHash& device);
  /// The table of the round an update is in or may go to; null: none.
  RoundTable* place_of(TaskBook& book, RoundNumber trained_in, const DeviceHash& device,
                       std::uint64_t nonce) const;
  /// What the codes of a chunk whose bytes arrived sound are worth.
  wire::Reason judge_values(const RoundSpec& spec, const wire::Submit& submit, ConstBytes payload);
  /// A submit or query for a round without a table.
  Verdict on_other_round(const Inquiry& inquiry, TaskBook& book, RoundNumber round,
                         std::uint64_t device, std::uint64_t nonce);
  DeviceHash device_of(const Peer& peer, std::uint64_t behind) const {
    return device_hash(secret, as_bytes(peer.user_id), behind);
  }
  static bool may_speak_for(const Peer& peer, std::uint64_t device) {
    return device == 0 || peer.key.role == KeyRole::kGateway;
  }
  SlotIndex take_slot();
};

}  // namespace muster::ingest
