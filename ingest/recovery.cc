#include "ingest/recovery.h"

#include <algorithm>

#include "ingest/seal.h"

namespace muster::ingest {
namespace {

constexpr std::size_t kCopyBytes = std::size_t{4} << 20;

/// Reads [begin, end) of `source` and writes it to the same place of `target`, which may be the
/// same file.
Status copy_range(File& source, File& target, std::uint64_t begin, std::uint64_t end) {
  const std::size_t capacity = std::min<std::uint64_t>(kCopyBytes, end - begin);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(capacity);
  while (begin < end) {
    const std::size_t length = std::min<std::uint64_t>(capacity, end - begin);
    MUSTER_ASSIGN(const std::size_t got, source.read_at(begin, {buffer.get(), length}));
    if (got == 0) break;
    const ConstBytes piece(buffer.get(), got);
    MUSTER_TRY(target.write_at(begin, {&piece, 1}));
    begin += got;
  }
  return {};
}

class Recovery {
 public:
  Recovery(Storage& storage, const SpoolOptions& options, const Spool::Visitor& visitor,
           RecoveryReport& report)
      : storage_(storage), options_(options), visitor_(visitor), report_(report) {}

  Result<Recovered> run() {
    MUSTER_ASSIGN(const auto generations, find_segments());
    for (const std::uint64_t generation : generations)
      MUSTER_TRY(recover_segment(generation, generation == generations.back()));
    // Makes the removals durable too: a file that came back later could outrank the new tail.
    MUSTER_TRY(storage_.sync_directory(options_.directory));
    if (!generations.empty()) result_.next_generation = generations.back() + 1;
    report_.segments = result_.segments.size();
    return std::move(result_);
  }

 private:
  std::string path_of(std::string_view name) const {
    return std::string(options_.directory).append("/").append(name);
  }

  /// Ascending. Removes spares: whether their last rename is durable is unknown, and nothing in
  /// them is.
  Result<std::vector<std::uint64_t>> find_segments() {
    MUSTER_ASSIGN(const auto names, storage_.list(options_.directory));
    std::vector<std::uint64_t> generations;
    for (const std::string& name : names) {
      if (const auto generation = parse_segment_name(name)) generations.push_back(*generation);
      if (name.starts_with(kSparePrefix)) MUSTER_TRY(storage_.remove(path_of(name)));
    }
    std::ranges::sort(generations);
    return generations;
  }

  Status recover_segment(std::uint64_t generation, bool newest) {
    Segment segment;
    segment.path = path_of(segment_name(generation));
    MUSTER_ASSIGN(segment.file, storage_.open(segment.path, OpenMode::kWrite));
    const auto visit = [&](const RecordHeader& header, RecordLocation location,
                           std::uint64_t salt) {
      segment.live[{header.task, header.round}] += disk_bytes(header);
      RecordHeader plain = header;
      if (header.version == kSealedRecord && options_.keys != nullptr)
        options_.keys->with(header.task, header.round, [&](RoundKey key) {
          plain.payload_checksum = unmask_checksum(key, salt, header);
        });
      visitor_(plain, location);
    };
    MUSTER_ASSIGN(const SegmentScan scan, scan_segment(*segment.file, generation, visit));
    if (scan.too_new)
      return {Code::kInvalid, "spool_too_new",
              segment.path + " has format version " + std::to_string(scan.header.version) +
                  ", this server reads up to " + std::to_string(kSegmentVersion)};
    segment.header = scan.header;
    segment.end = scan.end;
    report_.records += scan.end.records;
    report_.bytes += scan.record_bytes;

    const bool open_tail = newest && scan.header_sound && !scan.closed && !scan.damaged;
    if (!scan.closed && !open_tail) MUSTER_TRY(quarantine(segment, scan));
    if (open_tail) MUSTER_TRY(end_tail(segment, scan));
    // A closed segment that is not the newest is durable: its successor's name is younger than the
    // sync of its footer. The newest one's footer may be one that a failed sync left in the cache.
    if (newest && scan.closed) MUSTER_TRY(write_footer(segment));
    if (segment.end.records == 0) return {};
    MUSTER_ASSIGN(segment.file_bytes, segment.file->size());
    result_.segments.push_back(std::move(segment));
    return {};
  }

  Status write_footer(Segment& segment) {
    const Block block = footer_block(segment.header, segment.end);
    const ConstBytes piece(block);
    MUSTER_TRY(segment.file->write_at(align_up(segment.end.offset, kBlockBytes), {&piece, 1}));
    return segment.file->sync();
  }

  /// Closes the segment behind its last sound record. What lies further on (an interrupted group)
  /// can then never come back, because a scan ends at the footer.
  Status end_tail(Segment& segment, const SegmentScan& scan) {
    if (scan.beyond > scan.end.offset) report_.truncated_bytes += scan.beyond - scan.end.offset;
    if (scan.end.records == 0) {
      segment.file.reset();
      return storage_.remove(segment.path);
    }
    // The last group may be in the cache only: its sync may have failed, and then the kernel calls
    // its pages clean. Earlier groups were synced before this one was written.
    MUSTER_TRY(copy_range(*segment.file, *segment.file, scan.last_group, scan.end.offset));
    MUSTER_TRY(segment.file->sync());
    MUSTER_TRY(write_footer(segment));
    return segment.file->truncate(align_up(segment.end.offset, kBlockBytes) + kBlockBytes);
  }

  /// Refuses, or keeps the damaged file aside and replaces it by its sound records, closed.
  Status quarantine(Segment& segment, const SegmentScan& scan) {
    if (!options_.accept_quarantine)
      return {Code::kCorrupt, "spool_corrupt",
              segment.path + " is damaged at byte " + std::to_string(scan.end.offset) + ", after " +
                  std::to_string(scan.end.records) + " sound records"};
    const std::string directory = path_of("quarantine");
    MUSTER_TRY(storage_.make_directory(directory));
    std::string kept = directory + segment.path.substr(segment.path.find_last_of('/'));
    while (storage_.exists(kept)) kept += "+";
    if (scan.end.records == 0) {
      segment.file.reset();
      MUSTER_TRY(storage_.rename(segment.path, kept));
    } else {
      MUSTER_TRY(keep_copy(*segment.file, kept));
      MUSTER_TRY(replace_by_sound_part(segment));
    }
    MUSTER_TRY(storage_.sync_directory(directory));
    MUSTER_TRY(storage_.sync_directory(options_.directory));
    report_.quarantined.push_back(kept);
    return {};
  }

  Status keep_copy(File& damaged, const std::string& path) {
    MUSTER_ASSIGN(const std::uint64_t bytes, damaged.size());
    MUSTER_ASSIGN(const auto copy, storage_.open(path, OpenMode::kCreate));
    MUSTER_TRY(copy_range(damaged, *copy, 0, bytes));
    return copy->sync();
  }

  /// The rename swaps the whole repaired segment in; until then the damaged one stays.
  Status replace_by_sound_part(Segment& segment) {
    const std::string repaired_path = path_of(std::string(kSparePrefix) + "repair");
    MUSTER_ASSIGN(std::shared_ptr<File> repaired,
                  storage_.open(repaired_path, OpenMode::kOpenOrCreate));
    MUSTER_TRY(copy_range(*segment.file, *repaired, 0, segment.end.offset));
    segment.file = std::move(repaired);
    MUSTER_TRY(write_footer(segment));
    return storage_.rename(repaired_path, segment.path);
  }

  Storage& storage_;
  const SpoolOptions& options_;
  const Spool::Visitor& visitor_;
  RecoveryReport& report_;
  Recovered result_;
};

}  // namespace

Result<Recovered> recover(Storage& storage, const SpoolOptions& options,
                          const Spool::Visitor& visitor, RecoveryReport& report) {
  return Recovery(storage, options, visitor, report).run();
}

}  // namespace muster::ingest
