// What may be said about a Submit, as pure functions of the message and of what is known.
#pragma once

#include "ingest/intake.h"
#include "ingest/intake_table.h"

namespace muster::ingest {

/// Whether the message is right for the round, whoever sent it: version, terms, format, plan of
/// chunks, weight, nonce, role. In this order.
wire::Reason judge_plan(const wire::Submit& submit, const RoundSpec& spec, KeyRole role);

/// Whether a device that is not in the round yet may take part in it.
wire::Reason judge_participation(const RoundSpec& spec, const DeviceHash& device);

/// What is known of the device and of its update in the round.
struct Standing {
  bool closed = false;       ///< the round
  bool here = false;         ///< the device has an update in the round
  bool same_update = false;  ///< with this nonce,
  bool same_weight = false;  ///< and this weight
  bool whole = false;        ///< of which every chunk is on disk or on its way
  ChunkState chunk = ChunkState::kAbsent;
  bool same_chunk = false;  ///< the chunk that is here has the checksum of this one
  bool full = false;        ///< no room for another update
  Pressure pressure;
};
Standing standing_of(const RoundTable& table, const wire::Submit& submit, const DeviceHash& device,
                     const Pressure& pressure);

/// kOk: admit it. kDuplicate: it is here; where the update is complete, its receipt is due again.
/// kEquivocation supposes that the payload has the checksum the header names.
wire::Reason judge_standing(const Standing& standing);

}  // namespace muster::ingest
