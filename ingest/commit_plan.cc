#include "ingest/commit_plan.h"

#include <limits>

#include "ingest/segment.h"

namespace muster::ingest {
namespace {

// What RecordHeader::group_size can say.
constexpr std::size_t kMaxGroupRecords = std::numeric_limits<std::uint16_t>::max();

}  // namespace

Status plan_commit(std::span<const PendingRecord> records, std::uint64_t room,
                   std::uint64_t capacity, std::vector<CommitGroup>& groups) {
  std::uint64_t total = 0;
  for (const PendingRecord& record : records) {
    const RecordHeader header = header_of(record);
    MUSTER_CHECK(header.magic == kRecordMagic &&
                 (header.version == kPlainRecord || header.version == kSealedRecord));
    MUSTER_CHECK_OP(record_bytes(header.payload_bytes), <=, record.slot.size());
    const std::size_t bytes = disk_bytes(header);
    if (align_up(bytes, kBlockBytes) > capacity)
      return {Code::kInvalid, "record_too_large",
              "a record of " + std::to_string(bytes) + " bytes does not fit a segment"};
    total += bytes;
  }
  // What fits one segment is not spread over two: it becomes durable whole or not.
  if (total > room && align_up(total, kBlockBytes) <= capacity) room = 0;

  groups.clear();
  CommitGroup group;
  std::uint64_t group_bytes = 0;
  const auto next_group = [&](std::size_t first, bool new_segment) {
    if (group.count > 0) groups.push_back(group);
    room = new_segment ? capacity : room - align_up(group_bytes, kBlockBytes);
    group = {first, 0, new_segment};
    group_bytes = 0;
  };
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::size_t bytes = disk_bytes(header_of(records[i]));
    if (group.count == kMaxGroupRecords) next_group(i, false);
    if (align_up(group_bytes + bytes, kBlockBytes) > room) next_group(i, true);
    group_bytes += bytes;
    group.count += 1;
  }
  if (group.count > 0) groups.push_back(group);
  return {};
}

}  // namespace muster::ingest
