// How one commit is cut into groups: one write-and-sync each, none across two segments.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ingest/spool.h"

namespace muster::ingest {

/// Consecutive records of a commit.
struct CommitGroup {
  std::size_t first = 0;
  std::size_t count = 0;
  bool new_segment = false;  ///< begins a segment
};

inline RecordHeader header_of(const PendingRecord& record) {
  return load<RecordHeader>(record.slot);
}

/// Fills `groups`: a single one unless the commit is larger than `capacity`, the record bytes of an
/// empty segment; `room` is what the open segment still takes. "record_too_large" for a record that
/// fits no segment. Both sizes are whole blocks.
Status plan_commit(std::span<const PendingRecord> records, std::uint64_t room,
                   std::uint64_t capacity, std::vector<CommitGroup>& groups);

}  // namespace muster::ingest
