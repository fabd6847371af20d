#include "ingest/read_record.h"

#include <algorithm>
#include <array>
#include <string>

#include "ingest/seal.h"
#include "ingest/segment.h"

namespace muster::ingest {
namespace {

Status record_corrupt(RecordLocation location, std::string_view why) {
  return {Code::kCorrupt, "record_corrupt",
          "the record at byte " + std::to_string(location.offset) + " of " +
              segment_name(location.segment) + " " + std::string(why)};
}

/// `target` holds what lies on disk, but for the end of the trailer.
Status open_sealed(File& file, std::uint64_t salt, RecordLocation location, const RoundKeys* keys,
                   const RecordHeader& header, MutableBytes target) {
  const std::size_t trailer_begin = kRecordHeaderBytes + header.payload_bytes;
  std::array<std::byte, kSealTrailerBytes + kRecordAlignment> end;
  const MutableBytes tail = MutableBytes(end).first(disk_bytes(header) - trailer_begin);
  MUSTER_ASSIGN(const std::size_t filled, file.read_at(location.offset + trailer_begin, tail));
  if (filled < tail.size()) return record_corrupt(location, "is cut off");
  const auto trailer = load<SealTrailer>(tail);
  const MutableBytes payload = target.subspan(kRecordHeaderBytes, header.payload_bytes);
  const bool padded = std::ranges::all_of(tail.subspan(sizeof trailer),
                                          [](std::byte b) { return b == std::byte{0}; });
  if (!padded || seal_checksum(header, payload, trailer.tag) != trailer.checksum)
    return record_corrupt(location, "has a bad payload");
  bool opened = false;
  RecordHeader plain = header;
  const bool known = keys != nullptr && keys->with(header.task, header.round, [&](RoundKey key) {
    opened = open_payload(key, salt, header, trailer.tag, payload);
    plain.payload_checksum = unmask_checksum(key, salt, header);
  });
  if (!known)
    return {Code::kCorrupt, "round_key_missing",
            "the record at byte " + std::to_string(location.offset) + " of " +
                segment_name(location.segment) +
                " is encrypted, and the key of its round is not here"};
  if (!opened) return record_corrupt(location, "does not open under the key of its round");
  store(target, 0, plain);
  std::ranges::fill(target.subspan(trailer_begin), std::byte{0});
  return {};
}

}  // namespace

Status read_record(File& file, std::uint64_t salt, RecordLocation location, const RoundKeys* keys,
                   MutableBytes target) {
  if (target.size() < kRecordHeaderBytes) return record_corrupt(location, "has another length");
  MUSTER_ASSIGN(const std::size_t filled, file.read_at(location.offset, target));
  if (filled < target.size()) return record_corrupt(location, "is cut off");
  const auto header = load<RecordHeader>(target);
  if (!record_header_sound(header, location.segment, salt))
    return record_corrupt(location, "has a bad header");
  if (record_bytes(header.payload_bytes) != target.size())
    return record_corrupt(location, "has another length");
  if (header.version == kSealedRecord)
    return open_sealed(file, salt, location, keys, header, target);
  if (!record_contents_sound(target)) return record_corrupt(location, "has a bad payload");
  return {};
}

}  // namespace muster::ingest
