// The connection guard: what libzmq does not limit. ZMQ_MAXMSGSIZE bounds a frame but not a message
// of many, at the descriptor limit libzmq spins, and no call drops one peer. So this library
// defines accept4(), accept(), recv() and close() itself (guard_hooks.cc): where libzmq is linked
// dynamically its calls come to ours, which do the real thing and keep account of the descriptors
// that belong to a guarded listener. All others pass through untouched.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/stats.h"

namespace muster::ingest {

struct GuardLimits {
  std::uint32_t connections = 16'384;
  std::uint32_t connections_per_address = 16'384;
  /// Bytes a peer may deliver without completing a message: what libzmq queues, and one more.
  std::uint64_t bytes_in_flight = 0;
  /// A message may take so long from its first bytes to its last.
  Nanoseconds message_patience = 60 * kSecond;
};

/// Outlives the ZeroMQ context whose sockets it guards. Thread-safe.
class Guard {
 public:
  Guard(const GuardLimits& limits, Stats& stats);
  ~Guard();

  /// Connections accepted by these descriptors are guarded from now on.
  void guard_listeners(std::span<const int> descriptors);

  /// Receiver, per message: its peer's descriptor (-1: unknown) completed one, as this user.
  void message_completed(int descriptor, std::string_view user_id);
  /// Cuts the connection at the next sweep, so that a last reply can leave.
  void cut_soon(int descriptor);
  /// Cuts the connections of this user, as far as they have sent anything.
  void disconnect(std::string_view user_id);
  /// About once a second: cuts those that take too long, and those that cut_soon() named.
  void sweep(Nanoseconds now);
  std::uint32_t connections() const;

 private:
  friend struct GuardHooks;

  /// Whether the new connection may stay; keeps account of it if so.
  bool admit(int descriptor, std::uint64_t address);
  void closed(int descriptor);
  /// False once the peer has delivered too much.
  bool received(int descriptor, std::uint64_t bytes);
  void cut(int descriptor, Counter& why);

  const GuardLimits limits_;
  const int highest_descriptor_;
  Gauge& connections_gauge_;
  Counter& ended_;
  Counter& shed_;
  Counter& cut_bytes_;
  Counter& cut_time_;
  Counter& cut_revoked_;
  // Taken when a connection comes, goes or is cut, not per message: whoever cuts a descriptor must
  // know that it is not being closed and given to somebody else meanwhile.
  mutable std::mutex mutex_;
  std::uint32_t count_ = 0;
  int watched_ = 0;  ///< one more than the highest guarded descriptor ever
  std::unordered_map<std::uint64_t, std::uint32_t> per_address_;
};

}  // namespace muster::ingest
