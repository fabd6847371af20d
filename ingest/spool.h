// The durable log of updates: own append-only segments, group commit, recovery. docs/spool.md has
// the format. A receipt may leave only after the commit() that covers its records returned OK.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/stats.h"
#include "base/storage.h"
#include "ingest/record.h"
#include "ingest/round_keys.h"

namespace muster::ingest {

/// Where a record lies.
struct RecordLocation {
  std::uint64_t segment = 0;  ///< generation
  std::uint64_t offset = 0;   ///< of the record header in the segment file
};

/// A record to be appended: a slot whose first kRecordHeaderBytes hold a filled RecordHeader (but
/// for segment, sequence and header_checksum) and whose payload follows. commit() completes the
/// header, zeroes the padding and sets `location`. The payload of a sealed record stays plain here;
/// it is encrypted on its way to the disk.
struct PendingRecord {
  MutableBytes slot;
  RecordLocation location;
};

struct SpoolOptions {
  std::string directory;
  /// A multiple of 4096. All but 8 KiB holds records; one that does not fit is "record_too_large".
  std::uint64_t segment_bytes = std::uint64_t{256} << 20;
  /// Below this much free space low_on_space() turns true (and with some hysteresis false again).
  std::uint64_t low_water_bytes = std::uint64_t{512} << 20;
  /// Start although a segment is corrupt: it is kept in quarantine/, its sound records before the
  /// damage are recovered, the rest is lost. Otherwise open() fails with "spool_corrupt".
  bool accept_quarantine = false;
  /// Of the rounds whose records are sealed; outlives the spool. Null: there are none.
  const RoundKeys* keys = nullptr;
};

struct RecoveryReport {
  std::uint64_t segments = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t truncated_bytes = 0;     ///< of the open tail: written, never acknowledged
  std::vector<std::string> quarantined;  ///< paths of the damaged files that were set aside
};

/// commit(), release_round() and low_on_space() come from one thread (the committer); read() from
/// any.
class Spool {
 public:
  /// Called once per sound record, in the order they were written. The payload_checksum of a sealed
  /// record whose key is not known stays masked.
  using Visitor = std::function<void(const RecordHeader&, RecordLocation)>;

  /// Takes the directory's lock, scans every segment and reports its records. Ends an open tail at
  /// its first bad record; a bad record anywhere else is "spool_corrupt" (see accept_quarantine).
  static Result<std::unique_ptr<Spool>> open(Storage& storage, const SpoolOptions& options,
                                             Stats& stats, const Visitor& visitor,
                                             RecoveryReport* report);
  virtual ~Spool() = default;

  /// Appends the records and makes them durable, as one group. On any failure nothing may be
  /// acknowledged, and every later call fails too ("spool_fault"): the process must end and
  /// recover. "disk_full" alone (no room for a new segment, found before anything was written) is
  /// not a fault: the caller may try again.
  virtual Status commit(std::span<PendingRecord> records) = 0;

  /// Reads a record back into `target` (as long as record_bytes of it says), as it was in its slot
  /// after commit(), and verifies checksums, authenticity and that the header is the one expected:
  /// kCorrupt / "record_corrupt" otherwise. "round_key_missing" for a sealed record whose key is
  /// not known: its round was shredded.
  virtual Status read(RecordLocation location, MutableBytes target) const = 0;

  /// The records of this round are not needed any more; segments without a live round are recycled.
  virtual Status release_round(TaskId task, RoundNumber round) = 0;

  virtual bool low_on_space() = 0;
  virtual std::uint64_t live_bytes() const = 0;
};

}  // namespace muster::ingest
