#include "ingest/spool.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "ingest/commit_plan.h"
#include "ingest/group_stage.h"
#include "ingest/keys.h"
#include "ingest/read_record.h"
#include "ingest/recovery.h"
#include "ingest/seal.h"
#include "ingest/segment.h"

namespace muster::ingest {
namespace {

// Empty segments kept for reuse; overwriting is cheaper than allocating, but space has other uses.
constexpr std::size_t kMaxSpares = 4;
// Commits and questions between two looks at the free space while there is enough.
constexpr std::uint32_t kSpaceInterval = 16;

constexpr std::uint64_t kMinSegmentBytes = 4 * kBlockBytes;

std::uint64_t random_salt() { return load<std::uint64_t>(random_secret()); }

double seconds(Nanoseconds from, Nanoseconds to) {
  return static_cast<double>(to - from) / static_cast<double>(kSecond);
}

struct SpoolStats {
  explicit SpoolStats(Stats& stats)
      : append_bytes(stats.counter("muster_spool_append_bytes_total")),
        sync_seconds(stats.histogram("muster_spool_sync_duration_seconds")),
        sync_errors(stats.counter("muster_spool_sync_errors_total")),
        group_size(stats.histogram("muster_spool_group_size")),
        spool_bytes(stats.gauge("muster_spool_bytes")),
        free_bytes(stats.gauge("muster_spool_free_bytes")),
        recovery_seconds(stats.gauge("muster_recovery_duration_seconds")),
        truncated_bytes(stats.counter("muster_recovery_truncated_bytes_total")) {}

  Counter& append_bytes;
  Histogram& sync_seconds;
  Counter& sync_errors;
  Histogram& group_size;
  Gauge& spool_bytes;
  Gauge& free_bytes;
  Gauge& recovery_seconds;
  Counter& truncated_bytes;
};

/// A preallocated file without records that matter.
struct Spare {
  std::string path;
  std::shared_ptr<File> file;
};

class SegmentedSpool final : public Spool {
 public:
  SegmentedSpool(Storage& storage, const SpoolOptions& options, Stats& stats)
      : storage_(storage), options_(options), stats_(stats) {
    pieces_.reserve(1024);
    groups_.reserve(16);
  }

  Status start(const Visitor& visitor, RecoveryReport& report) {
    const Nanoseconds begin = clock_.now();
    MUSTER_TRY(storage_.make_directory(options_.directory));
    MUSTER_ASSIGN(lock_, storage_.lock(options_.directory + "/lock"));
    MUSTER_ASSIGN(Recovered recovered, recover(storage_, options_, visitor, report));
    next_generation_ = recovered.next_generation;
    for (Segment& segment : recovered.segments) {
      for (const auto& [round, bytes] : segment.live) live_bytes_ += bytes;
      file_bytes_ += segment.file_bytes;
      const std::uint64_t generation = segment.header.generation;
      segments_.emplace(generation, std::move(segment));
    }
    stats_.spool_bytes.set(static_cast<double>(file_bytes_));
    stats_.truncated_bytes.add(report.truncated_bytes);
    stats_.recovery_seconds.set(seconds(begin, clock_.now()));
    refresh_space();
    return {};
  }

  Status commit(std::span<PendingRecord> records) override {
    MUSTER_TRY(faultless());
    if (records.empty()) return {};
    MUSTER_TRY(plan_commit(records, open_ == nullptr ? 0 : segment_room(*open_),
                           segment_capacity(options_.segment_bytes), groups_));
    const auto rotations = std::ranges::count_if(groups_, &CommitGroup::new_segment);
    MUSTER_TRY(reserve_spares(static_cast<std::size_t>(rotations)));
    for (const CommitGroup& group : groups_) {
      if (group.new_segment) MUSTER_TRY(rotate());
      MUSTER_TRY(append(records.subspan(group.first, group.count)));
    }
    stats_.group_size.observe(static_cast<double>(records.size()));
    return {};
  }

  Status read(RecordLocation location, MutableBytes target) const override {
    std::shared_ptr<File> file;
    std::uint64_t salt = 0;
    {
      const std::lock_guard guard(mutex_);
      const auto it = segments_.find(location.segment);
      if (it == segments_.end())
        return {Code::kCorrupt, "record_corrupt",
                "there is no " + segment_name(location.segment) + " to read a record from"};
      file = it->second.file;
      salt = it->second.header.salt;
    }
    return read_record(*file, salt, location, options_.keys, target);
  }

  Status release_round(TaskId task, RoundNumber round) override {
    MUSTER_TRY(faultless());
    for (auto it = segments_.begin(); it != segments_.end();) {
      Segment& segment = it->second;
      if (const auto live = segment.live.find({task, round}); live != segment.live.end()) {
        live_bytes_ -= live->second;
        segment.live.erase(live);
      }
      const auto next = std::next(it);
      if (segment.live.empty() && &segment != open_) MUSTER_TRY(retire(it));
      it = next;
    }
    refresh_space();
    return {};
  }

  bool low_on_space() override {
    // Once low, nothing is committed, so only looking again can end it.
    if (low_on_space_ || ++since_refresh_ >= kSpaceInterval) refresh_space();
    return low_on_space_;
  }

  std::uint64_t live_bytes() const override { return live_bytes_; }

 private:
  using Segments = std::map<std::uint64_t, Segment>;

  Status faultless() const {
    if (fault_.ok()) return {};
    return {Code::kUnavailable, "spool_fault",
            "the spool failed earlier and must be recovered by a restart: " + fault_.to_string()};
  }
  /// From now on every commit fails. What the disk holds is unknown until it is read again.
  Status fault(Status status) {
    fault_ = std::move(status);
    return faultless();
  }
  std::string path_of(std::string_view name) const {
    return std::string(options_.directory).append("/").append(name);
  }

  /// Bytes for records behind the end of an open segment.
  static std::uint64_t segment_room(const Segment& segment) {
    return kBlockBytes + segment_capacity(segment.file_bytes) - segment.end.offset;
  }

  /// "disk_full" leaves everything as it was.
  Status reserve_spares(std::size_t count) {
    while (spares_.size() < count) {
      Spare spare{path_of(std::string(kSparePrefix) + std::to_string(spares_named_++)), nullptr};
      auto created = storage_.open(spare.path, OpenMode::kCreate);
      Status status = created.status();
      if (status.ok()) {
        spare.file = std::move(created).value();
        status = spare.file->allocate(options_.segment_bytes);
      }
      if (!status.ok()) {
        const bool made = spare.file != nullptr;
        spare.file.reset();
        if (made) {
          if (const Status removed = storage_.remove(spare.path); !removed.ok())
            return fault(removed);
        }
        if (status.reason() != "disk_full") return fault(std::move(status));
        low_on_space_ = true;
        return std::move(status).with_context("no room for a new segment");
      }
      spares_.push_back(std::move(spare));
      add_file_bytes(options_.segment_bytes);
    }
    return {};
  }

  /// Closes the open segment and opens the next one. The order is what recovery relies on: the old
  /// footer is durable before the new name can be, and the new header before its name.
  Status rotate() {
    if (open_ != nullptr) {
      MUSTER_TRY(
          write_block(*open_->file, open_->end.offset, footer_block(open_->header, open_->end)));
    }
    if (directory_dirty_) {
      // The spare may still bear the name of its old segment on disk; only now may it be changed.
      if (Status status = storage_.sync_directory(options_.directory); !status.ok())
        return fault(std::move(status));
      directory_dirty_ = false;
    }
    Segment next;
    next.header.generation = next_generation_++;
    next.header.segment_bytes = options_.segment_bytes;
    next.header.salt = random_salt();
    next.file_bytes = options_.segment_bytes;
    next.path = path_of(segment_name(next.header.generation));
    Spare spare = std::move(spares_.back());
    spares_.pop_back();
    next.file = std::move(spare.file);
    MUSTER_TRY(write_block(*next.file, 0, header_block(next.header)));
    Status status = storage_.rename(spare.path, next.path);
    if (status.ok()) status = storage_.sync_directory(options_.directory);
    if (!status.ok()) return fault(std::move(status));

    const Segments::iterator previous =
        open_ == nullptr ? segments_.end() : segments_.find(open_->header.generation);
    {
      const std::lock_guard guard(mutex_);
      open_ = &segments_.emplace(next.header.generation, std::move(next)).first->second;
    }
    if (previous != segments_.end() && previous->second.live.empty()) return retire(previous);
    return {};
  }

  Status write_block(File& file, std::uint64_t offset, const Block& block) {
    const ConstBytes piece(block);
    if (Status status = file.write_at(offset, {&piece, 1}); !status.ok())
      return fault(std::move(status));
    return sync(file);
  }

  Status sync(File& file) {
    const Nanoseconds begin = clock_.now();
    Status status = file.sync();
    stats_.sync_seconds.observe(seconds(begin, clock_.now()));
    if (status.ok()) return {};
    stats_.sync_errors.add();
    return fault(std::move(status));
  }

  /// One group: completes the headers, writes, syncs. It fits the open segment.
  Status append(std::span<PendingRecord> records) {
    Segment& segment = *open_;
    SegmentEnd end = segment.end;
    const bool sealed = std::ranges::any_of(records, [](const PendingRecord& record) {
      return header_of(record).version == kSealedRecord;
    });
    pieces_.clear();
    stage_.begin(*segment.file, segment.end.offset);
    for (std::size_t i = 0; i < records.size(); ++i) {
      PendingRecord& record = records[i];
      RecordHeader header = header_of(record);
      header.segment = segment.header.generation;
      header.sequence = end.records;
      header.group_index = static_cast<std::uint16_t>(i);
      header.group_size = static_cast<std::uint16_t>(records.size());
      header.header_checksum = header_checksum(header, segment.header.salt);
      const std::size_t bytes = record_bytes(header.payload_bytes);
      const std::size_t padding_begin = kRecordHeaderBytes + header.payload_bytes;
      std::ranges::fill(record.slot.subspan(padding_begin, bytes - padding_begin), std::byte{0});
      record.location = {segment.header.generation, end.offset};
      const std::size_t extent = extent_end(header, end.offset) - end.offset;
      if (header.version == kSealedRecord) {
        if (Status status = stage_sealed(record, header, extent); !status.ok())
          return fault(std::move(status));
      }
      store(record.slot, 0, header);
      if (!sealed) {
        pieces_.push_back(record.slot.first(bytes));
        if (extent > bytes) pieces_.push_back(ConstBytes(kZeroBlock).first(extent - bytes));
      } else if (header.version == kPlainRecord) {
        auto target = stage_.next(extent);
        if (!target.ok()) return fault(std::move(target).status());
        std::ranges::copy(record.slot.first(bytes), target->begin());
        std::ranges::fill(target->subspan(bytes), std::byte{0});
      }
      end.offset += extent;
      end.records += 1;
      end.chain = chain(end.chain, header, segment.header.salt);
    }
    Status written = sealed ? stage_.finish() : segment.file->write_at(segment.end.offset, pieces_);
    if (!written.ok()) return fault(std::move(written));
    MUSTER_TRY(sync(*segment.file));
    stats_.append_bytes.add(end.offset - segment.end.offset);
    segment.end = end;
    for (const PendingRecord& record : records) count_live(segment, header_of(record));
    return {};
  }

  /// Encrypts the record straight into what will be written.
  Status stage_sealed(const PendingRecord& record, RecordHeader& header, std::size_t extent) {
    MUSTER_ASSIGN(const MutableBytes target, stage_.next(extent));
    const ConstBytes payload = record.slot.subspan(kRecordHeaderBytes, header.payload_bytes);
    const std::uint64_t salt = open_->header.salt;
    const bool known = options_.keys != nullptr &&
                       options_.keys->with(header.task, header.round, [&](RoundKey key) {
                         seal_record(key, salt, header, payload, target);
                       });
    // Never written plain instead: the process ends, and nothing of this was acknowledged.
    if (!known)
      return {Code::kInternal, "round_key_missing",
              "round " + std::to_string(header.round) + " of task " + std::to_string(header.task) +
                  " is to be encrypted, and its key is not here"};
    return {};
  }

  void count_live(Segment& segment, const RecordHeader& header) {
    const std::size_t bytes = disk_bytes(header);
    segment.live[{header.task, header.round}] += bytes;
    live_bytes_ += bytes;
  }

  /// Nothing in the segment is needed: keeps its file for reuse, or removes it. Not durable until
  /// the directory is synced; until then it may come back as it was.
  Status retire(Segments::iterator it) {
    Segment& segment = it->second;
    const bool keep = spares_.size() < kMaxSpares && segment.file_bytes == options_.segment_bytes;
    Status status;
    if (keep) {
      Spare spare{path_of(std::string(kSparePrefix) + std::to_string(spares_named_++)),
                  segment.file};
      status = storage_.rename(segment.path, spare.path);
      if (status.ok()) spares_.push_back(std::move(spare));
    } else {
      status = storage_.remove(segment.path);
      if (status.ok()) subtract_file_bytes(segment.file_bytes);
    }
    if (!status.ok()) return fault(std::move(status));
    directory_dirty_ = true;
    const std::lock_guard guard(mutex_);
    segments_.erase(it);
    return {};
  }

  void add_file_bytes(std::uint64_t bytes) {
    file_bytes_ += bytes;
    stats_.spool_bytes.set(static_cast<double>(file_bytes_));
  }
  void subtract_file_bytes(std::uint64_t bytes) {
    file_bytes_ -= bytes;
    stats_.spool_bytes.set(static_cast<double>(file_bytes_));
  }

  void refresh_space() {
    since_refresh_ = 0;
    const auto free = storage_.free_bytes(options_.directory);
    // Not knowing is as bad as not having.
    const std::uint64_t available = free.ok() ? *free + spares_.size() * options_.segment_bytes : 0;
    stats_.free_bytes.set(static_cast<double>(available));
    const std::uint64_t low_water = options_.low_water_bytes;
    low_on_space_ = available < (low_on_space_ ? low_water + low_water / 4 : low_water);
  }

  Storage& storage_;
  const SpoolOptions options_;
  SpoolStats stats_;
  const SystemClock clock_;  // for the histograms only; nothing depends on what it says
  std::unique_ptr<File> lock_;

  // read() runs on any thread while the committer adds and removes segments. It holds this lock for
  // one lookup and never during I/O; the committer takes it a few times per segment, not per
  // record.
  mutable std::mutex mutex_;
  Segments segments_;        // the map: guarded by mutex_ against read()
  Segment* open_ = nullptr;  // the one being appended to; after a start there is none
  std::vector<Spare> spares_;
  std::uint64_t next_generation_ = 1;
  std::uint64_t spares_named_ = 0;
  bool directory_dirty_ = false;
  Status fault_;

  std::atomic<std::uint64_t> live_bytes_{0};
  std::uint64_t file_bytes_ = 0;
  bool low_on_space_ = false;
  std::uint32_t since_refresh_ = 0;

  std::vector<CommitGroup> groups_;  // of the commit under way; kept for their memory
  std::vector<ConstBytes> pieces_;
  GroupStage stage_;  // of groups with sealed records
};

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(Storage& storage, const SpoolOptions& options,
                                           Stats& stats, const Visitor& visitor,
                                           RecoveryReport* report) {
  if (options.segment_bytes % kBlockBytes != 0 || options.segment_bytes < kMinSegmentBytes)
    return Status(Code::kInvalid, "segment_bytes_invalid",
                  "segment_bytes must be a multiple of " + std::to_string(kBlockBytes) +
                      " and at least " + std::to_string(kMinSegmentBytes));
  RecoveryReport own_report;
  RecoveryReport& used_report = report == nullptr ? own_report : *report;
  used_report = {};
  auto spool = std::make_unique<SegmentedSpool>(storage, options, stats);
  MUSTER_TRY(spool->start(visitor, used_report));
  return std::unique_ptr<Spool>(std::move(spool));
}

}  // namespace muster::ingest
