#include "server/crash_guard.h"

#include <fmt/format.h>

#include <sstream>

#include "base/bytes.h"

namespace muster::server {
namespace {
constexpr std::size_t kFileBytes = 4096, kMostStarts = 100;
}

Status CrashGuard::on_start(const Clock& clock) {
  const std::int64_t now = clock.wall_ms();
  std::vector<std::int64_t> starts;
  if (storage_.exists(path_)) {
    MUSTER_ASSIGN(const auto bytes, read_file(storage_, path_, kFileBytes));
    std::istringstream lines{std::string(as_text(bytes))};
    // Times from the future: the clock was set back. They say nothing.
    for (std::int64_t start = 0; lines >> start;)
      if (start <= now && now - start < kCrashWindowMs) starts.push_back(start);
  }
  if (limit_ > 0 && starts.size() >= limit_)
    return Status(
        Code::kUnavailable, "crash_loop",
        fmt::format("{} starts within the last 10 minutes did not end in order: not "
                    "starting again. Read the log of the first; when its cause is "
                    "mended, remove {} (or wait {} s) and start musterd",
                    starts.size(), path_, (starts.front() + kCrashWindowMs - now + 999) / 1000));
  starts.push_back(now);
  if (starts.size() > kMostStarts) starts.erase(starts.begin());
  std::string text;
  for (const std::int64_t start : starts) text += fmt::format("{}\n", start);
  return write_file(storage_, path_, as_bytes(text));
}

Status CrashGuard::on_orderly_end() {
  if (!storage_.exists(path_)) return {};
  MUSTER_TRY(storage_.remove(path_));
  return storage_.sync_directory(parent_directory(path_));
}

}  // namespace muster::server
