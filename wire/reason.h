// Every refusal of the system in one table: number on the wire, token, code, sentence, remedy.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"

namespace muster::wire {

/// Numbers are wire format: never reused, never renumbered. Add at the end of a group.
enum class Reason : std::uint16_t {
  kOk = 0,
  // 1xx: the message itself
  kProtocolVersion = 100,   ///< protocol_version
  kFrameMissing = 101,      ///< frame_missing: a Submit without its payload frame
  kFrameExtra = 102,        ///< frame_extra
  kHeaderTooLarge = 103,    ///< header_too_large
  kPayloadTooLarge = 104,   ///< payload_too_large
  kHeaderMalformed = 105,   ///< header_malformed: FlatBuffers structure, aliasing, unknown kind
  kPayloadLength = 106,     ///< payload_length: frame, header and codec disagree
  kChecksumMismatch = 107,  ///< checksum_mismatch
  kUnexpectedKind = 108,    ///< unexpected_kind: a server's message sent by a device
  kFieldMissing = 109,      ///< field_missing: a required field is absent
  // 2xx: what it says
  kUnknownTask = 200,           ///< unknown_task
  kRoundClosed = 201,           ///< round_closed
  kRoundUnknown = 202,          ///< round_unknown: never opened here
  kModelVersionStale = 203,     ///< model_version_stale
  kWrongCodec = 204,            ///< wrong_codec
  kWrongDimension = 205,        ///< wrong_dimension
  kChunkOutOfRange = 206,       ///< chunk_out_of_range
  kChunkCount = 207,            ///< chunk_count_mismatch
  kChunkLength = 208,           ///< chunk_length_mismatch: coordinates of this chunk
  kScaleInvalid = 209,          ///< scale_invalid: NaN, Inf or negative
  kValueNotFinite = 210,        ///< value_not_finite
  kCoordinateOutOfBound = 211,  ///< coordinate_out_of_bound
  kReservedCode = 212,          ///< reserved_code: a code or bit that stands for nothing
  kWeightOutOfRange = 213,      ///< weight_out_of_range
  kTermsMismatch = 214,         ///< terms_mismatch
  kModelUnknown = 215,          ///< model_unknown: no such version here
  kNonceZero = 216,             ///< nonce_zero
  kIndexInvalid = 217,          ///< index_invalid: sparse coordinates out of range or order
  kZstdInvalid = 218,           ///< zstd_invalid
  // 3xx: who says it
  kNotEnrolled = 300,  ///< not_enrolled
  kRevoked = 301,      ///< revoked
  kNotGateway = 302,   ///< not_gateway: a device number from a connection that is no gateway
  kParticipationsSpent = 303,  ///< participations_spent: in as many rounds as the terms allow
  // 4xx: it was said before
  kDuplicate = 400,     ///< duplicate: being stored; the receipt will come
  kEquivocation = 401,  ///< equivocation: same id, other bytes
  kSecondUpdate = 402,  ///< second_update: another id from one device in a round
  // 5xx: not now
  kSlabFull = 500,      ///< slab_full
  kDiskLow = 501,       ///< disk_low
  kCohortFull = 502,    ///< cohort_full
  kNoOpenRound = 503,   ///< no_open_round
  kDraining = 504,      ///< draining
  kStorageFault = 505,  ///< storage_fault
  kParticipationTooSoon =
      506,  ///< participation_too_soon: not as many rounds apart as the terms say
};

struct ReasonText {
  Reason reason;
  const char* token;  ///< stable, snake_case; also the metrics label
  Code code;
  bool retry;            ///< whether the same message may succeed later
  const char* sentence;  ///< what happened
  const char* remedy;    ///< what to do
};

/// The whole table, ascending.
std::span<const ReasonText> reasons();
/// The row of `reason`; for a number we do not know, a row "unknown_reason".
const ReasonText& describe(Reason reason);
/// The Status of a refusal.
Status to_status(Reason reason);

}  // namespace muster::wire
