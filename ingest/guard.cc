#include "ingest/guard.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "ingest/guard_table.h"

namespace muster::ingest {
namespace {

// Heartbeats complete no message; anything slower than this passes for them. A peer that trickles
// below it holds no more memory than it sent.
constexpr std::uint64_t kIdleBytes = 4096;
constexpr std::uint64_t kIdleBytesPerSecond = 64;

// Descriptors left to files and the HTTP ports when connections have taken all others.
int highest_descriptor() {
  rlimit limit{};
  MUSTER_CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlim_t all = std::min<rlim_t>(limit.rlim_cur, kGuardedDescriptors);
  return static_cast<int>(all - std::min<rlim_t>(64, all / 4));
}

std::uint64_t user_tag(std::string_view user_id) {
  std::uint64_t tag = 0;
  std::memcpy(&tag, user_id.data(), std::min(user_id.size(), sizeof tag));
  return tag;
}

Counter& cuts(Stats& stats, const char* reason) {
  return stats.counter("muster_connections_cut_total", {{"reason", reason}});
}

}  // namespace

Guard::Guard(const GuardLimits& limits, Stats& stats)
    : limits_(limits),
      highest_descriptor_(highest_descriptor()),
      connections_gauge_(stats.gauge("muster_connections")),
      ended_(stats.counter("muster_connections_ended_total")),
      shed_(cuts(stats, "limit")),
      cut_bytes_(cuts(stats, "bytes_without_message")),
      cut_time_(cuts(stats, "time_without_message")),
      cut_revoked_(cuts(stats, "revoked")) {}

Guard::~Guard() {
  std::lock_guard lock(mutex_);
  for (int fd = 0; fd < watched_; ++fd)
    MUSTER_CHECK(guard_table[static_cast<std::size_t>(fd)].owner != this);
}

void Guard::guard_listeners(std::span<const int> descriptors) {
  std::lock_guard lock(mutex_);
  for (const int fd : descriptors) {
    if (fd < 0 || fd >= kGuardedDescriptors) continue;
    GuardEntry& entry = guard_table[static_cast<std::size_t>(fd)];
    entry.owner = this;
    entry.kind = Guarded::kListener;
    watched_ = std::max(watched_, fd + 1);
  }
}

bool Guard::admit(int descriptor, std::uint64_t address) {
  std::lock_guard lock(mutex_);
  std::uint32_t& here = per_address_[address];
  if (descriptor >= highest_descriptor_ || count_ >= limits_.connections ||
      here >= limits_.connections_per_address) {
    if (here == 0) per_address_.erase(address);
    shed_.add();
    log_warning("connection_shed", "a connection beyond the limits was closed at once",
                {{"connections", count_}});
    return false;
  }
  ++here;
  ++count_;
  connections_gauge_.set(count_);
  GuardEntry& entry = guard_table[static_cast<std::size_t>(descriptor)];
  entry.owner = this;
  entry.doomed = false;
  entry.received = 0;
  entry.completed_at = 0;
  entry.user = 0;
  entry.address = address;
  entry.seen_completed = 0;
  entry.completed_time = 0;
  entry.began = 0;
  entry.kind = Guarded::kConnection;
  watched_ = std::max(watched_, descriptor + 1);
  return true;
}

void Guard::closed(int descriptor) {
  std::lock_guard lock(mutex_);
  GuardEntry& entry = guard_table[static_cast<std::size_t>(descriptor)];
  if (entry.owner != this) return;
  if (entry.kind == Guarded::kConnection) {
    const auto found = per_address_.find(entry.address);
    if (found != per_address_.end() && --found->second == 0) per_address_.erase(found);
    connections_gauge_.set(--count_);
    ended_.add();
  }
  entry.kind = Guarded::kNo;
  entry.owner = nullptr;
}

bool Guard::received(int descriptor, std::uint64_t bytes) {
  GuardEntry& entry = guard_table[static_cast<std::size_t>(descriptor)];
  // Only the I/O thread of this connection adds.
  const std::uint64_t all = entry.received.load(std::memory_order_relaxed) + bytes;
  entry.received.store(all, std::memory_order_relaxed);
  if (all - entry.completed_at.load(std::memory_order_relaxed) <= limits_.bytes_in_flight)
    return true;
  std::lock_guard lock(mutex_);
  cut(descriptor, cut_bytes_);
  return false;
}

void Guard::message_completed(int descriptor, std::string_view user_id) {
  if (descriptor < 0 || descriptor >= kGuardedDescriptors) return;
  GuardEntry& entry = guard_table[static_cast<std::size_t>(descriptor)];
  if (entry.owner.load(std::memory_order_relaxed) != this) return;
  entry.completed_at.store(entry.received.load(std::memory_order_relaxed),
                           std::memory_order_relaxed);
  entry.user.store(user_tag(user_id), std::memory_order_relaxed);
}

void Guard::cut_soon(int descriptor) {
  if (descriptor >= 0 && descriptor < kGuardedDescriptors)
    guard_table[static_cast<std::size_t>(descriptor)].doomed = true;
}

void Guard::disconnect(std::string_view user_id) {
  const std::uint64_t user = user_tag(user_id);
  std::lock_guard lock(mutex_);
  for (int fd = 0; fd < watched_; ++fd)
    if (guard_table[static_cast<std::size_t>(fd)].user == user) cut(fd, cut_revoked_);
}

void Guard::sweep(Nanoseconds now) {
  std::lock_guard lock(mutex_);
  for (int fd = 0; fd < watched_; ++fd) {
    GuardEntry& entry = guard_table[static_cast<std::size_t>(fd)];
    if (entry.owner != this || entry.kind != Guarded::kConnection) continue;
    if (entry.doomed) {
      cut(fd, cut_revoked_);
      continue;
    }
    const std::uint64_t completed = entry.completed_at;
    if (completed != entry.seen_completed || entry.completed_time == 0) {
      entry.seen_completed = completed;
      entry.completed_time = now;
      entry.began = 0;
      continue;
    }
    const auto idle_seconds = static_cast<std::uint64_t>((now - entry.completed_time) / kSecond);
    if (entry.received - completed <= kIdleBytes + kIdleBytesPerSecond * idle_seconds)
      entry.began = 0;
    else if (entry.began == 0)
      entry.began = now;
    else if (now - entry.began > limits_.message_patience)
      cut(fd, cut_time_);
  }
}

void Guard::cut(int descriptor, Counter& why) {
  GuardEntry& entry = guard_table[static_cast<std::size_t>(descriptor)];
  if (entry.owner != this || entry.kind != Guarded::kConnection) return;
  entry.doomed = false;
  why.add();
  ::shutdown(descriptor, SHUT_RDWR);  // libzmq reads the end, and closes it
}

std::uint32_t Guard::connections() const {
  std::lock_guard lock(mutex_);
  return count_;
}

}  // namespace muster::ingest
