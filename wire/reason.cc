#include "wire/reason.h"

#include <algorithm>

namespace muster::wire {
namespace {

constexpr ReasonText kReasons[] = {
    {Reason::kOk, "ok", Code::kOk, false, "nothing is wrong", "nothing to do"},

    {Reason::kProtocolVersion, "protocol_version", Code::kInvalid, false,
     "device and server speak no common version of the protocol",
     "update the device's software to one this server supports"},
    {Reason::kFrameMissing, "frame_missing", Code::kInvalid, false,
     "the message came without one of its frames",
     "send header and payload as two frames of one message"},
    {Reason::kFrameExtra, "frame_extra", Code::kInvalid, false,
     "the message has more frames than its kind allows",
     "send a header, and a payload only with a chunk"},
    {Reason::kHeaderTooLarge, "header_too_large", Code::kInvalid, false,
     "the header frame is longer than any valid one", "keep the header within 16 KiB"},
    {Reason::kPayloadTooLarge, "payload_too_large", Code::kInvalid, false,
     "the payload frame is longer than any valid one",
     "cut the update into chunks as the assignment says"},
    {Reason::kHeaderMalformed, "header_malformed", Code::kInvalid, false,
     "the header is not a message of this protocol",
     "build headers from message.fbs, or with the client library"},
    {Reason::kPayloadLength, "payload_length", Code::kInvalid, false,
     "the payload is not as long as header and codec say",
     "send exactly the bytes the codec needs for the chunk, and name their number"},
    {Reason::kChecksumMismatch, "checksum_mismatch", Code::kCorrupt, true,
     "the payload does not match its checksum: it was damaged on the way",
     "send the chunk again; if it goes on, test the device's memory"},
    {Reason::kUnexpectedKind, "unexpected_kind", Code::kInvalid, false,
     "a message of this kind is not expected from this side",
     "devices send Hello, CheckIn, FetchModel, Submit and QueryMissing"},
    {Reason::kFieldMissing, "field_missing", Code::kInvalid, false,
     "a field this kind of message needs is absent",
     "fill in every required field; docs/wire.md names them"},

    {Reason::kUnknownTask, "unknown_task", Code::kNotFound, false,
     "this server has no task of that name or number",
     "check the task's name, and that the server runs it"},
    {Reason::kRoundClosed, "round_closed", Code::kClosed, false,
     "the round ended before the update was complete", "check in for the next round"},
    {Reason::kRoundUnknown, "round_unknown", Code::kNotFound, false,
     "the round was never opened on this server",
     "check in again; make sure the device talks to the server that assigned the round"},
    {Reason::kModelVersionStale, "model_version_stale", Code::kStale, false,
     "the update was trained from another model version than the round's",
     "check in, fetch the model again and train from it"},
    {Reason::kWrongCodec, "wrong_codec", Code::kInvalid, false,
     "codec or block size is not the round's", "encode with the codec of the assignment"},
    {Reason::kWrongDimension, "wrong_dimension", Code::kInvalid, false,
     "the update has another number of coordinates than the model",
     "check that the device trains the model of this task"},
    {Reason::kChunkOutOfRange, "chunk_out_of_range", Code::kInvalid, false,
     "there is no chunk of that number", "number chunks from 0 to chunk_count - 1"},
    {Reason::kChunkCount, "chunk_count_mismatch", Code::kInvalid, false,
     "the update is cut into another number of chunks than the round's",
     "cut the update as the assignment says"},
    {Reason::kChunkLength, "chunk_length_mismatch", Code::kInvalid, false,
     "the chunk has another number of coordinates than it should",
     "fill every chunk but the last; cut as the assignment says"},
    {Reason::kScaleInvalid, "scale_invalid", Code::kInvalid, false,
     "a scale of the payload is negative or not a finite number",
     "look for overflow in training; scales are finite and at least 0"},
    {Reason::kValueNotFinite, "value_not_finite", Code::kInvalid, false,
     "a value is not a finite number", "look for overflow in training before encoding"},
    {Reason::kCoordinateOutOfBound, "coordinate_out_of_bound", Code::kInvalid, false,
     "a coordinate is larger than the task allows",
     "clip the update to the value bound of the assignment; lower the learning rate"},
    {Reason::kReservedCode, "reserved_code", Code::kInvalid, false,
     "the payload holds a code that stands for nothing: -128, -8 in four bits, or a spare bit",
     "saturate codes to -127 ... 127 or -7 ... 7, and leave spare bits at 0"},
    {Reason::kWeightOutOfRange, "weight_out_of_range", Code::kInvalid, false,
     "the update's weight is 0 or above the task's largest",
     "report between 1 and the assignment's max_weight examples"},
    {Reason::kTermsMismatch, "terms_mismatch", Code::kInvalid, false,
     "the update was made under other terms than the task has now",
     "check in, and agree to the terms again before training"},
    {Reason::kModelUnknown, "model_unknown", Code::kNotFound, false,
     "this server does not hold that model version", "check in, and fetch the version it names"},
    {Reason::kNonceZero, "nonce_zero", Code::kInvalid, false, "the update has no nonce",
     "choose a random nonce other than 0 once per update"},
    {Reason::kIndexInvalid, "index_invalid", Code::kInvalid, false,
     "the coordinates a sparse chunk names are too many, out of range, out of order or malformed",
     "name each coordinate once, ascending, at most as many as the assignment says"},
    {Reason::kZstdInvalid, "zstd_invalid", Code::kInvalid, false,
     "the payload is shorter than its codes, and no zstd frame of exactly their length",
     "compress a chunk as one frame with its content size, a window of at most 8 MiB and no "
     "dictionary"},

    {Reason::kNotEnrolled, "not_enrolled", Code::kForbidden, false,
     "the device's key is not enrolled here", "ask the operator to enrol the device's public key"},
    {Reason::kRevoked, "revoked", Code::kForbidden, false, "the device's key was revoked",
     "ask the operator why; a new key can be enrolled"},
    {Reason::kNotGateway, "not_gateway", Code::kForbidden, false,
     "the connection speaks for another device, but its key is no gateway's",
     "leave the device number 0, or ask the operator for the gateway role"},
    {Reason::kParticipationsSpent, "participations_spent", Code::kForbidden, false,
     "the device was in as many rounds of this private task as its terms allow",
     "nothing to do: its part is done, and asking again changes nothing"},

    {Reason::kDuplicate, "duplicate", Code::kDuplicate, false,
     "the same chunk is here already and being stored", "wait for the receipt"},
    {Reason::kEquivocation, "equivocation", Code::kInvalid, false,
     "the same update was sent before with other bytes",
     "choose a new nonce for every update; never change one that was sent"},
    {Reason::kSecondUpdate, "second_update", Code::kDuplicate, false,
     "the device sent an update to this round before", "send one update a round"},

    {Reason::kSlabFull, "slab_full", Code::kExhausted, true,
     "the server's memory for updates is full", "send again after the time it names"},
    {Reason::kDiskLow, "disk_low", Code::kExhausted, true, "the server's disk is nearly full",
     "send again after the time it names; the operator must free space"},
    {Reason::kCohortFull, "cohort_full", Code::kExhausted, true,
     "the round has all the updates it can take", "check in again after the time it names"},
    {Reason::kNoOpenRound, "no_open_round", Code::kUnavailable, true, "the task has no open round",
     "check in again after the time it names"},
    {Reason::kDraining, "draining", Code::kUnavailable, true,
     "the server is shutting down and takes nothing new", "connect again after the time it names"},
    {Reason::kStorageFault, "storage_fault", Code::kUnavailable, true,
     "the server's disk failed before the update was safe",
     "send the same update again once the server is back"},
    {Reason::kParticipationTooSoon, "participation_too_soon", Code::kUnavailable, true,
     "the device was in a round of this private task that is not far enough back",
     "check in again after the time it names; the terms say how many rounds lie between"},
};

constexpr ReasonText kUnknown = {
    static_cast<Reason>(0xffff),
    "unknown_reason",
    Code::kInternal,
    false,
    "the other side gave a reason this version does not know",
    "update the device's software, and look the number up in its release notes"};

}  // namespace

std::span<const ReasonText> reasons() { return kReasons; }

const ReasonText& describe(Reason reason) {
  const auto* row = std::ranges::lower_bound(kReasons, reason, {}, &ReasonText::reason);
  return row != std::end(kReasons) && row->reason == reason ? *row : kUnknown;
}

Status to_status(Reason reason) {
  if (reason == Reason::kOk) return {};
  const ReasonText& row = describe(reason);
  return Status(row.code, row.token, std::string(row.sentence) + "; " + row.remedy);
}

}  // namespace muster::wire
