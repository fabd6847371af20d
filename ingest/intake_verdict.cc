#include "ingest/intake_verdict.h"

#include <algorithm>

namespace muster::ingest {

using wire::Reason;

Reason judge_plan(const wire::Submit& submit, const RoundSpec& spec, KeyRole role) {
  if (!spec.staleness_of(submit.round, submit.model_version)) return Reason::kModelVersionStale;
  if (submit.terms != spec.terms_of(submit.round)) return Reason::kTermsMismatch;
  if (submit.codec != static_cast<std::uint8_t>(spec.format.codec) ||
      submit.log2_block != spec.format.log2_block)
    return Reason::kWrongCodec;
  if (submit.dimension != spec.dimension) return Reason::kWrongDimension;
  if (submit.chunk_count != spec.chunk_count) return Reason::kChunkCount;
  if (submit.chunk >= spec.chunk_count) return Reason::kChunkOutOfRange;
  if (submit.coordinates != spec.coordinates_of(submit.chunk)) return Reason::kChunkLength;
  if (!is_payload_length(spec.format, submit.coordinates, submit.payload_bytes))
    return Reason::kPayloadLength;
  if (submit.weight == 0 || submit.weight > spec.max_weight) return Reason::kWeightOutOfRange;
  if (submit.nonce == 0) return Reason::kNonceZero;
  if (submit.device != 0 && role != KeyRole::kGateway) return Reason::kNotGateway;
  return Reason::kOk;
}

Reason judge_participation(const RoundSpec& spec, const DeviceHash& device) {
  if (spec.kept_out == nullptr) return Reason::kOk;
  const KeptOut& out = *spec.kept_out;
  if (std::ranges::binary_search(out.spent, device)) return Reason::kParticipationsSpent;
  if (std::ranges::binary_search(out.too_soon, device)) return Reason::kParticipationTooSoon;
  if (out.only_known && !std::ranges::binary_search(out.known, device)) return Reason::kCohortFull;
  return Reason::kOk;
}

Standing standing_of(const RoundTable& table, const wire::Submit& submit, const DeviceHash& device,
                     const Pressure& pressure) {
  Standing standing;
  standing.closed = table.closed;
  standing.pressure = pressure;
  standing.full = table.full();
  const auto update = table.find(device);
  if (!update) return standing;
  const UpdateEntry& entry = table.entry(*update);
  standing.here = true;
  standing.same_update = entry.nonce == submit.nonce;
  standing.same_weight = entry.weight == submit.weight;
  standing.whole = entry.admitted == table.spec().chunk_count;
  standing.chunk = table.state(*update, submit.chunk);
  standing.same_chunk = table.same(*update, submit.chunk, submit.checksum);
  return standing;
}

Reason judge_standing(const Standing& standing) {
  const bool mine = standing.here && standing.same_update;
  const bool chunk_here = mine && standing.chunk != ChunkState::kAbsent;
  const bool identical = chunk_here && standing.same_weight && standing.same_chunk;
  // After the end only an update that made it has an answer other than that it is over.
  if (standing.closed && !(identical && standing.whole)) return Reason::kRoundClosed;
  if (standing.here && !standing.same_update) return Reason::kSecondUpdate;
  if (identical) return Reason::kDuplicate;
  if (mine && (chunk_here || !standing.same_weight)) return Reason::kEquivocation;
  // Only now what the node can take: a resend of something durable gets its receipt regardless.
  if (standing.pressure.storage_fault) return Reason::kStorageFault;
  if (standing.pressure.draining) return Reason::kDraining;
  if (standing.pressure.disk_low) return Reason::kDiskLow;
  if (!standing.here && standing.full) return Reason::kCohortFull;
  return Reason::kOk;
}

}  // namespace muster::ingest
