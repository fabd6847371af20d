// Records as they lie on disk encrypted: XChaCha20-Poly1305 (libsodium), one record at a time, so
// that each can be read back alone. docs/spool.md has the layout.
//
// Nonce: the segment's salt and generation and the record's place, never twice under one key. What
// the record is (task, round, update, chunk, place) is authenticated with it. Over the encrypted
// bytes stands an XXH3-128, so that damage is told from an interrupted write without any key.
#pragma once

#include <array>
#include <cstdint>

#include "ingest/record.h"
#include "ingest/round_keys.h"

namespace muster::ingest {

/// Behind the encrypted payload of a sealed record.
struct SealTrailer {
  std::array<std::byte, 16> tag;  ///< Poly1305
  Hash128 checksum;               ///< see seal_checksum()
};
static_assert(sizeof(SealTrailer) == kSealTrailerBytes);

/// XXH3-128 over the encrypted payload, then over that and the tag, both seeded with the low half
/// of the header's checksum: it holds for this header only.
Hash128 seal_checksum(const RecordHeader& header, ConstBytes encrypted,
                      const std::array<std::byte, 16>& tag);

/// Writes header, encrypted payload, trailer and zeros to `target`, which is disk_bytes(header)
/// long. Completes `header`: its payload_checksum (of the plain payload) stays plain there and is
/// masked on disk; its header_checksum is that of the disk.
void seal_record(RoundKey key, std::uint64_t salt, RecordHeader& header, ConstBytes payload,
                 MutableBytes target);

/// Payload of a sound sealed record, in place. False: not encrypted under this key, or not the
/// record its header says.
bool open_payload(RoundKey key, std::uint64_t salt, const RecordHeader& header,
                  const std::array<std::byte, 16>& tag, MutableBytes payload);

/// The checksum of the plain payload, from the masked one of a sound header on disk.
Hash128 unmask_checksum(RoundKey key, std::uint64_t salt, const RecordHeader& header);

}  // namespace muster::ingest
