// One segment file of the spool: block of the header, groups of records, footer. docs/spool.md
// explains; this page is the layout and the judge of what is sound.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/storage.h"
#include "ingest/record.h"
#include "ingest/spool.h"

namespace muster::ingest {

inline constexpr std::uint32_t kSegmentMagic = 0x4753534d;  // "MSSG"
inline constexpr std::uint32_t kFooterMagic = 0x5446534d;   // "MSFT"
/// Since version 2 a segment may hold sealed records. Both are read.
inline constexpr std::uint32_t kSegmentVersion = 2;
inline constexpr std::uint32_t kOldestSegmentVersion = 1;

/// Header, groups and footer each start on a block of their own: no write touches a page or a
/// sector that an earlier sync made durable, and none needs a page to be read first.
inline constexpr std::size_t kBlockBytes = 4096;

/// First bytes of a segment; zeros to the end of the block. Little-endian.
struct SegmentHeader {
  std::uint32_t magic = kSegmentMagic;
  std::uint32_t version = kSegmentVersion;
  std::uint64_t generation = 0;
  std::uint64_t segment_bytes = 0;  ///< of the file as preallocated
  /// Random. Seeds the checksums of this segment's record headers and footer, so that no device can
  /// plan a payload that looks like one.
  std::uint64_t salt = 0;
  std::uint64_t reserved[2] = {};
  Hash128 checksum;  ///< XXH3-128 of everything above
};
static_assert(sizeof(SegmentHeader) == 64 && std::is_trivially_copyable_v<SegmentHeader>);

/// On the first block boundary behind the last record of a closed segment; zeros to the end of the
/// block.
struct SegmentFooter {
  std::uint32_t magic = kFooterMagic;
  std::uint32_t version = kSegmentVersion;  ///< of the segment's header
  std::uint64_t generation = 0;
  std::uint64_t records = 0;
  std::uint64_t reserved = 0;
  Hash128 chain;     ///< see chain()
  Hash128 checksum;  ///< XXH3-128 of everything above, seeded with the salt
};
static_assert(sizeof(SegmentFooter) == 64 && std::is_trivially_copyable_v<SegmentFooter>);

using Block = std::array<std::byte, kBlockBytes>;
inline constexpr Block kZeroBlock{};

/// Bytes for records in a segment: all but the blocks of header and footer.
constexpr std::uint64_t segment_capacity(std::uint64_t segment_bytes) {
  return segment_bytes - 2 * kBlockBytes;
}
/// Where the record (and padding) that begins at `offset` ends: the last of a group at a block.
constexpr std::uint64_t extent_end(const RecordHeader& header, std::uint64_t offset) {
  const std::uint64_t end = offset + disk_bytes(header);
  return header.group_index + 1 == header.group_size ? align_up(end, kBlockBytes) : end;
}

/// "segment-0000000012": a live segment. Its header was synced before it got this name.
std::string segment_name(std::uint64_t generation);
std::optional<std::uint64_t> parse_segment_name(std::string_view name);
/// Begins the names of files whose contents mean nothing: spares, and unfinished repairs.
inline constexpr std::string_view kSparePrefix = "spare-";

Hash128 header_checksum(const RecordHeader& header, std::uint64_t salt);
/// The hash after one more record: over the hash before and the record's header checksum (which
/// covers the payload's).
Hash128 chain(const Hash128& before, const RecordHeader& header, std::uint64_t salt);

/// Where the records of a segment end, and what the footer says of them.
struct SegmentEnd {
  std::uint64_t offset = kBlockBytes;  ///< behind the last record and its padding
  std::uint32_t records = 0;
  Hash128 chain;
};

Block header_block(const SegmentHeader& header);
Block footer_block(const SegmentHeader& header, const SegmentEnd& end);

/// Checksum, magic, version, generation; the padding is not in `header`.
bool record_header_sound(const RecordHeader& header, std::uint64_t generation, std::uint64_t salt);
/// The checksum of what follows the header, and the zeros behind it. Needs no key. `record` begins
/// with a sound header and holds the whole record, or its whole extent.
bool record_contents_sound(ConstBytes record);

/// What reading a segment from its first to its last sound byte showed.
struct SegmentScan {
  bool header_sound = false;
  bool too_new = false;  ///< a sound header of a later format version
  SegmentHeader header;
  SegmentEnd end;                          ///< of the sound records
  std::uint64_t last_group = kBlockBytes;  ///< offset of the group that the last record belongs to
  std::uint64_t record_bytes = 0;
  bool closed = false;  ///< the footer follows
  /// Something that was only written after the bytes at end.offset had been synced lies further on:
  /// what is wrong there is damage, not an interrupted write.
  bool damaged = false;
  std::uint64_t beyond = 0;  ///< end of what can be recognised behind end.offset; 0: nothing
};

/// A sound record as it lies on disk, and the salt of its segment.
using RecordVisitor = std::function<void(const RecordHeader&, RecordLocation, std::uint64_t salt)>;

/// Calls `visitor` for every sound record in order. An error is one of reading only.
Result<SegmentScan> scan_segment(File& file, std::uint64_t generation,
                                 const RecordVisitor& visitor);

/// A segment in use.
struct Segment {
  SegmentHeader header;
  std::uint64_t file_bytes = 0;
  SegmentEnd end;
  std::string path;
  std::shared_ptr<File> file;
  /// Record bytes per round that has not been released.
  std::map<std::pair<TaskId, RoundNumber>, std::uint64_t> live;
};

}  // namespace muster::ingest
