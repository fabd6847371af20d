// The crash-loop guard: a server that keeps dying stays down, so that whoever is paged finds the
// disk and the log as the first crashes left them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/storage.h"

namespace muster::server {

inline constexpr std::int64_t kCrashWindowMs = 10 * 60 * 1000;

/// Keeps the times of starts that did not end in order, in one small file.
class CrashGuard {
 public:
  /// `limit`: starts without an orderly end after which it stays down; 0: never.
  CrashGuard(Storage& storage, std::string path, std::size_t limit)
      : storage_(storage), path_(std::move(path)), limit_(limit) {}

  /// To be called once the data directory is locked: notes this start. kUnavailable / "crash_loop"
  /// (exit code 69) if `limit` starts within kCrashWindowMs before it did not end in order;
  /// then nothing is noted, so that the guard opens by itself when the window has passed.
  Status on_start(const Clock& clock);
  /// The process ends as it was asked to: forgets this start and those before it.
  Status on_orderly_end();

 private:
  Storage& storage_;
  std::string path_;
  std::size_t limit_;
};

}  // namespace muster::server
