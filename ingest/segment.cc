#include "ingest/segment.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdio>

#include "ingest/seal.h"

namespace muster::ingest {
namespace {

// What is read at once in a scan: large enough for the disk, small beside the slab.
constexpr std::size_t kWindowBytes = std::size_t{8} << 20;
constexpr std::string_view kSegmentPrefix = "segment-";

template <class Checked>
Hash128 checksum_above(const Checked& checked, std::size_t checksum_offset, std::uint64_t seed) {
  return checksum(object_bytes(checked).first(checksum_offset), seed);
}

template <class Head>
Block block_of(const Head& head) {
  Block block{};
  store(block, 0, head);
  return block;
}

bool all_zero(ConstBytes bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

/// Part of a file in memory, moved on demand.
class Window {
 public:
  Window(File& file, std::uint64_t file_bytes) : file_(file), file_bytes_(file_bytes) {}

  /// `length` bytes from `offset`, fewer at the end of the file. Valid until the next call.
  Result<ConstBytes> at(std::uint64_t offset, std::size_t length) {
    if (offset >= file_bytes_) return ConstBytes();
    length = std::min<std::uint64_t>(length, file_bytes_ - offset);
    if (offset < begin_ || offset + length > begin_ + filled_) {
      reserve(std::max<std::size_t>(length, std::min<std::uint64_t>(kWindowBytes, file_bytes_)));
      begin_ = offset;
      filled_ = 0;
      MUSTER_ASSIGN(filled_, file_.read_at(offset, {buffer_.get(), capacity_}));
      length = std::min(length, filled_);
    }
    return ConstBytes(buffer_.get() + (offset - begin_), length);
  }
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  void reserve(std::size_t bytes) {
    if (bytes <= capacity_) return;
    buffer_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
    capacity_ = bytes;
  }

  File& file_;
  std::uint64_t file_bytes_;
  std::uint64_t begin_ = 0;
  std::size_t filled_ = 0;
  std::size_t capacity_ = 0;
  std::unique_ptr<std::byte[]> buffer_;
};

void judge_header(ConstBytes block, std::uint64_t generation, SegmentScan& scan) {
  if (block.size() < kBlockBytes) return;
  scan.header = load<SegmentHeader>(block);
  const bool ours =
      scan.header.magic == kSegmentMagic &&
      scan.header.checksum == checksum_above(scan.header, offsetof(SegmentHeader, checksum), 0);
  scan.too_new = ours && scan.header.version > kSegmentVersion;
  scan.header_sound = ours && scan.header.version >= kOldestSegmentVersion && !scan.too_new &&
                      scan.header.generation == generation &&
                      all_zero(block.subspan(sizeof scan.header));
}

/// The footer in a sound block. One with anything behind it is an interrupted write, even where the
/// footer itself is whole.
std::optional<SegmentFooter> read_footer(ConstBytes block, const SegmentHeader& header) {
  if (block.size() < kBlockBytes) return std::nullopt;
  const auto footer = load<SegmentFooter>(block);
  if (footer.magic != kFooterMagic || footer.version != header.version ||
      footer.generation != header.generation ||
      footer.checksum != checksum_above(footer, offsetof(SegmentFooter, checksum), header.salt) ||
      !all_zero(block.subspan(sizeof footer)))
    return std::nullopt;
  return footer;
}

/// Follows the records of one segment.
class Scanner {
 public:
  Scanner(Window& window, SegmentScan& scan) : window_(window), scan_(scan) {}

  Status walk(const RecordVisitor& visitor) {
    while (true) {
      MUSTER_ASSIGN(const auto header, next_record());
      if (!header) break;
      if (header->group_index == 0) scan_.last_group = scan_.end.offset;
      visitor(*header, {scan_.header.generation, scan_.end.offset}, scan_.header.salt);
      previous_ = *header;
      scan_.end.offset = extent_end(*header, scan_.end.offset);
      scan_.end.records += 1;
      scan_.end.chain = chain(scan_.end.chain, *header, scan_.header.salt);
      scan_.record_bytes += disk_bytes(*header);
    }
    MUSTER_TRY(look_for_footer());
    return scan_.closed ? Status() : look_beyond();
  }

 private:
  /// The record at the end so far, if it is sound and in its place.
  Result<std::optional<RecordHeader>> next_record() {
    const std::uint64_t at = scan_.end.offset;
    MUSTER_ASSIGN(ConstBytes bytes, window_.at(at, kRecordHeaderBytes));
    if (bytes.size() < kRecordHeaderBytes) return std::optional<RecordHeader>();
    const auto header = load<RecordHeader>(bytes);
    if (!record_header_sound(header, scan_.header.generation, scan_.header.salt) ||
        !in_place(header))
      return std::optional<RecordHeader>();
    const std::size_t extent = extent_end(header, at) - at;
    MUSTER_ASSIGN(bytes, window_.at(at, extent));
    if (bytes.size() < extent || !record_contents_sound(bytes))
      return std::optional<RecordHeader>();
    return std::optional(header);
  }

  bool in_place(const RecordHeader& header) const {
    if (header.sequence != scan_.end.records || header.group_index >= header.group_size)
      return false;
    const bool group_ended = previous_.group_index + 1 == previous_.group_size;
    if (scan_.end.records == 0 || group_ended) return header.group_index == 0;
    return header.group_index == previous_.group_index + 1 &&
           header.group_size == previous_.group_size;
  }

  Status look_for_footer() {
    const std::uint64_t at = align_up(scan_.end.offset, kBlockBytes);
    MUSTER_ASSIGN(const ConstBytes block, window_.at(at, kBlockBytes));
    const auto footer = read_footer(block, scan_.header);
    scan_.closed =
        footer && footer->records == scan_.end.records && footer->chain == scan_.end.chain;
    return {};
  }

  /// Judges what follows the last sound record, knowing that a group is written after the sync of
  /// the group before, and a footer after the sync of the last one.
  Status look_beyond() {
    for (std::uint64_t at = scan_.end.offset; at < window_.file_bytes(); at += kRecordAlignment) {
      if (at % kBlockBytes == 0) {
        MUSTER_ASSIGN(const ConstBytes block, window_.at(at, kBlockBytes));
        if (read_footer(block, scan_.header)) {
          scan_.damaged = true;
          scan_.beyond = at + kBlockBytes;
        }
      }
      MUSTER_ASSIGN(const ConstBytes bytes, window_.at(at, kRecordHeaderBytes));
      if (bytes.size() < kRecordHeaderBytes) break;
      const auto header = load<RecordHeader>(bytes);
      if (!record_header_sound(header, scan_.header.generation, scan_.header.salt)) continue;
      const std::uint32_t group_begin = header.sequence - header.group_index;
      scan_.damaged |= group_begin > scan_.end.records;
      scan_.beyond = std::max(scan_.beyond, extent_end(header, at));
    }
    return {};
  }

  Window& window_;
  SegmentScan& scan_;
  RecordHeader previous_;
};

}  // namespace

std::string segment_name(std::uint64_t generation) {
  std::array<char, 32> digits;
  const int length = std::snprintf(digits.data(), digits.size(), "%010llu",
                                   static_cast<unsigned long long>(generation));
  return std::string(kSegmentPrefix).append(digits.data(), static_cast<std::size_t>(length));
}

std::optional<std::uint64_t> parse_segment_name(std::string_view name) {
  if (!name.starts_with(kSegmentPrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kSegmentPrefix.size());
  std::uint64_t generation = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), generation);
  if (error != std::errc() || segment_name(generation) != name) return std::nullopt;
  return generation;
}

Hash128 header_checksum(const RecordHeader& header, std::uint64_t salt) {
  return checksum_above(header, offsetof(RecordHeader, header_checksum), salt);
}

Hash128 chain(const Hash128& before, const RecordHeader& header, std::uint64_t salt) {
  const std::array<Hash128, 2> links = {before, header.header_checksum};
  return checksum(object_bytes(links), salt);
}

Block header_block(const SegmentHeader& header) {
  SegmentHeader sealed = header;
  sealed.checksum = checksum_above(sealed, offsetof(SegmentHeader, checksum), 0);
  return block_of(sealed);
}

Block footer_block(const SegmentHeader& header, const SegmentEnd& end) {
  SegmentFooter footer;
  footer.version = header.version;
  footer.generation = header.generation;
  footer.records = end.records;
  footer.chain = end.chain;
  footer.checksum = checksum_above(footer, offsetof(SegmentFooter, checksum), header.salt);
  return block_of(footer);
}

bool record_header_sound(const RecordHeader& header, std::uint64_t generation, std::uint64_t salt) {
  return header.magic == kRecordMagic &&
         (header.version == kPlainRecord || header.version == kSealedRecord) &&
         header.segment == generation && header.header_checksum == header_checksum(header, salt);
}

bool record_contents_sound(ConstBytes record) {
  const auto header = load<RecordHeader>(record);
  const ConstBytes payload = record.subspan(kRecordHeaderBytes, header.payload_bytes);
  const std::size_t end = kRecordHeaderBytes + header.payload_bytes;
  if (header.version == kPlainRecord)
    return checksum(payload) == header.payload_checksum && all_zero(record.subspan(end));
  const auto trailer = load<SealTrailer>(record, end);
  return seal_checksum(header, payload, trailer.tag) == trailer.checksum &&
         all_zero(record.subspan(end + sizeof trailer));
}

Result<SegmentScan> scan_segment(File& file, std::uint64_t generation,
                                 const RecordVisitor& visitor) {
  MUSTER_ASSIGN(const std::uint64_t file_bytes, file.size());
  Window window(file, file_bytes);
  SegmentScan scan;
  MUSTER_ASSIGN(const ConstBytes block, window.at(0, kBlockBytes));
  judge_header(block, generation, scan);
  if (scan.header_sound)
    MUSTER_TRY(Scanner(window, scan).walk(visitor));
  else
    scan.end.offset = 0;
  return scan;
}

}  // namespace muster::ingest
