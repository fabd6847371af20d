// Messages as plain structs: build and verify header frames. The only code that knows FlatBuffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/status.h"
#include "wire/ids.h"
#include "wire/reason.h"

namespace muster::wire {

inline constexpr std::uint16_t kProtocolVersion = 1;

// One struct per table of message.fbs; the fields and their units are described there.
struct Hello {
  std::uint16_t protocol = kProtocolVersion;
  bool operator==(const Hello&) const = default;
};
struct Welcome {
  std::uint16_t protocol = kProtocolVersion;
  std::string server{};
  bool operator==(const Welcome&) const = default;
};
struct CheckIn {
  std::string task{};
  std::uint64_t device = 0;
  bool operator==(const CheckIn&) const = default;
};
struct Assignment {
  TaskId task = 0;
  RoundNumber round = 0;
  ModelVersion model_version = 0;
  std::uint64_t dimension = 0;
  std::uint32_t chunk_coordinates = 0;
  ChunkFormat format{};
  std::vector<std::int8_t> scale_exponents{};
  float clip_norm = 0;
  float value_bound = 0;
  std::uint32_t max_weight = 1;
  std::uint32_t deadline_ms = 0;
  Sha256 terms{};
  std::uint64_t codec_seed = 0;
  bool operator==(const Assignment&) const = default;
};
struct RetryAfter {
  std::uint32_t retry_ms = 0;
  Reason reason = Reason::kOk;
  bool operator==(const RetryAfter&) const = default;
};
struct FetchModel {
  TaskId task = 0;
  ModelVersion version = 0;
  std::uint32_t chunk = 0;
  bool operator==(const FetchModel&) const = default;
};
struct ModelChunk {
  TaskId task = 0;
  ModelVersion version = 0;
  std::uint32_t chunk = 0;
  std::uint32_t chunk_count = 0;
  Hash128 checksum{};
  bool operator==(const ModelChunk&) const = default;
};
struct Submit {
  TaskId task = 0;
  RoundNumber round = 0;
  ModelVersion model_version = 0;
  std::uint64_t device = 0;
  std::uint64_t nonce = 0;
  std::uint32_t weight = 1;
  std::uint64_t dimension = 0;
  std::uint32_t chunk = 0;
  std::uint32_t chunk_count = 0;
  std::uint32_t coordinates = 0;
  /// Codec as sent: may be a number this version does not know.
  std::uint8_t codec = 0;
  std::uint8_t log2_block = 0;
  std::uint32_t payload_bytes = 0;
  Hash128 checksum{};
  Sha256 terms{};
  bool operator==(const Submit&) const = default;
};
struct ReceiptEntry {
  UpdateId update{};
  std::uint64_t nonce = 0;
  std::uint64_t device = 0;
  bool operator==(const ReceiptEntry&) const = default;
};
struct Receipt {
  TaskId task = 0;
  RoundNumber round = 0;
  std::vector<ReceiptEntry> entries{};
  std::optional<LedgerHead> ledger{};  ///< private tasks: when the round opened
  bool operator==(const Receipt&) const = default;
};
struct QueryMissing {
  TaskId task = 0;
  RoundNumber round = 0;
  std::uint64_t device = 0;
  std::uint64_t nonce = 0;
  bool operator==(const QueryMissing&) const = default;
};
struct MissingChunks {
  TaskId task = 0;
  RoundNumber round = 0;
  std::uint64_t nonce = 0;
  std::uint32_t chunk_count = 0;
  std::vector<std::uint8_t> bitmap{};
  bool operator==(const MissingChunks&) const = default;
};
struct Refusal {
  Reason reason = Reason::kOk;
  std::uint32_t retry_ms = 0;
  TaskId task = 0;
  RoundNumber round = 0;
  std::uint64_t nonce = 0;
  std::uint32_t chunk = 0;
  std::uint64_t device = 0;
  bool operator==(const Refusal&) const = default;
};

using Body = std::variant<Hello, Welcome, CheckIn, Assignment, RetryAfter, FetchModel, ModelChunk,
                          Submit, Receipt, QueryMissing, MissingChunks, Refusal>;

struct Message {
  std::uint16_t protocol = kProtocolVersion;
  std::uint32_t request = 0;
  Body body{};
  bool operator==(const Message&) const = default;
};

/// Whether a message of this kind has a payload frame.
bool has_payload(const Body& body);

/// What verification says: a message, or why not (never both).
struct Parsed {
  Reason reason = Reason::kOk;
  Message message;
  bool ok() const { return reason == Reason::kOk; }
};

/// Verifies the structure and the self-contained meaning of a header frame at any address, and
/// copies it out. Hostile input is expected: size first, then the protocol version, then the
/// FlatBuffers verifier (bounded depth and tables), then our own: no two objects sharing bytes (so
/// the sum of all lengths is at most the frame), strings and vectors within their limits, required
/// fields present, an Assignment a device can act on. Allocates only for strings and vectors, each
/// bounded by the frame, and for a copy of an unaligned frame longer than limits::kHeaderBytes.
/// What depends on a round is checked by ingest. `max_bytes`, below 2 GiB: for a device that
/// expects an Assignment with a long exponent table.
Parsed parse_header(ConstBytes frame, std::size_t max_bytes = limits::kHeaderBytes);

/// Frames beside the routing id, as a ROUTER or DEALER sees them: parse_header, and the payload
/// frame is there exactly when the kind has one, with the length the header names (Submit) or that
/// of whole coordinates (ModelChunk).
Parsed parse_frames(std::span<const ConstBytes> frames,
                    std::size_t max_header_bytes = limits::kHeaderBytes);

/// The header frame of `message`; at most limits::kHeaderBytes unless an Assignment's exponent
/// table is longer (the device reads it with max_bytes of its own).
std::vector<std::byte> build_header(const Message& message);

}  // namespace muster::wire
