// One record of the spool: what is written for a chunk, to the byte. docs/spool.md explains.
#pragma once

#include <cstdint>
#include <type_traits>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/hash.h"
#include "wire/ids.h"

namespace muster::ingest {

inline constexpr std::uint32_t kRecordMagic = 0x4352534d;  // "MSRC"
inline constexpr std::uint8_t kPlainRecord = 1;            ///< RecordHeader::version
inline constexpr std::uint8_t kSealedRecord = 2;           ///< encrypted on disk; ingest/seal.h
/// Records start and end on this boundary, so that payloads stay aligned for SIMD and DMA.
inline constexpr std::size_t kRecordAlignment = 64;

/// Head of a record; the payload follows at once, then zeros to kRecordAlignment. Little-endian.
struct RecordHeader {
  std::uint32_t magic = kRecordMagic;
  std::uint8_t version = kPlainRecord;
  std::uint8_t staleness = 0;  ///< model versions the update was behind; only in buffered rounds
  std::uint8_t codec = 0;
  std::uint8_t log2_block = 0;
  std::uint32_t payload_bytes = 0;
  TaskId task = 0;
  RoundNumber round = 0;
  std::uint64_t nonce = 0;
  UpdateId update;
  DeviceHash device;
  std::uint32_t chunk = 0;
  std::uint32_t chunk_count = 0;
  std::uint32_t coordinates = 0;
  std::uint32_t weight = 0;
  std::uint64_t segment = 0;      ///< its generation: an old record of a recycled file never passes
  std::uint32_t sequence = 0;     ///< position in the segment, from 0
  std::uint16_t group_index = 0;  ///< position in its commit group, from 0
  std::uint16_t group_size = 0;   ///< records of the group; the last one is padded to a block
  Hash128 payload_checksum;       ///< XXH3-128 of the payload; masked in a sealed record on disk
  Hash128 header_checksum;        ///< XXH3-128 of everything above, seeded with the segment's salt
};
static_assert(sizeof(RecordHeader) == 128 && std::is_trivially_copyable_v<RecordHeader>);

inline constexpr std::size_t kRecordHeaderBytes = sizeof(RecordHeader);

/// Bytes a record with this payload takes in memory.
constexpr std::size_t record_bytes(std::size_t payload_bytes) {
  return align_up(kRecordHeaderBytes + payload_bytes, kRecordAlignment);
}

inline constexpr std::size_t kSealTrailerBytes = 32;

/// Bytes of a record on disk: as in memory, a sealed one with its trailer behind the payload.
constexpr std::size_t disk_bytes(const RecordHeader& header) {
  return record_bytes(header.payload_bytes +
                      (header.version == kSealedRecord ? kSealTrailerBytes : 0));
}

}  // namespace muster::ingest
