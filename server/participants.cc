#include "server/participants.h"

#include <algorithm>

namespace muster::server {

void Participants::load(std::vector<ParticipantRow> rows) {
  rows_ = std::move(rows);
  std::ranges::sort(rows_, {}, &ParticipantRow::device);
}

void Participants::count(std::span<const DeviceHash> devices, std::uint32_t release) {
  std::vector<DeviceHash> came(devices.begin(), devices.end());
  std::ranges::sort(came);
  std::vector<ParticipantRow> merged;
  merged.reserve(rows_.size() + came.size());
  auto next = came.begin();
  for (const ParticipantRow& row : rows_) {
    for (; next != came.end() && *next < row.device; ++next) merged.push_back({*next, 1, release});
    merged.push_back(row);
    if (next == came.end() || *next != row.device) continue;
    merged.back().rounds += 1;
    merged.back().last = release;
    ++next;
  }
  for (; next != came.end(); ++next) merged.push_back({*next, 1, release});
  rows_ = std::move(merged);
}

ingest::KeptOut Participants::kept_out(std::uint64_t release, std::uint32_t cohort) const {
  ingest::KeptOut out;
  out.only_known = rows_.size() + cohort > most_;
  for (const ParticipantRow& row : rows_) {
    if (row.rounds >= limit_.participations)
      out.spent.push_back(row.device);
    else if (release < row.last + std::uint64_t{limit_.separation})
      out.too_soon.push_back(row.device);
    else if (out.only_known)
      out.known.push_back(row.device);
  }
  return out;
}

}  // namespace muster::server
