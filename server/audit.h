// The audit stream: what operators did and what the server promised, one JSON line each,
// append-only and synced. Beside the log, which may be filtered, rate-limited and lost.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "base/storage.h"

namespace muster::server {

/// The label values of muster_audit_records_total.
enum class AuditKind : std::uint8_t { kOperator, kKey, kRound, kRelease, kPrivacy, kServer };
std::string_view audit_kind_name(AuditKind kind);

/// Thread-safe. A record is on disk when write() returns OK. Lines have "sequence", counting from 1
/// over all starts, so that a missing one shows. Never payloads, secrets or device names: a key
/// appears as the first 16 hex digits of its SHA-256, a device as its keyed hash.
class Audit {
 public:
  /// Opens or makes `path`. A last line without its end, cut off by a crash, is removed.
  static Result<std::unique_ptr<Audit>> open(Storage& storage, const std::string& path,
                                             const Clock& clock, Stats& stats);

  Status write(AuditKind kind, std::string_view action,
               std::initializer_list<LogField> fields = {});

 private:
  Audit(std::unique_ptr<File> file, const Clock& clock, Stats& stats);

  std::mutex mutex_;  // one record at a time: operators and round ends, a few a second
  std::unique_ptr<File> file_;
  std::uint64_t size_ = 0;
  std::uint64_t sequence_ = 0;
  const Clock& clock_;
  std::array<Counter*, 6> records_{};
};

}  // namespace muster::server
