// What ended connections leave: malloc keeps their memory, scattered over pages. The connections
// that come next are spread over it anew and touch what those before did not, so that without
// giving it back resident memory goes from the 40 KiB a connection uses towards the 100 it
// reserves.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/stats.h"

namespace muster::server {

/// Gives the memory back to the system once enough connections have ended. One thread.
class MemoryTrim {
 public:
  /// `ended` counts the connections that came to an end; it outlives this.
  explicit MemoryTrim(const Counter& ended) : ended_(ended) {}

  /// Now and then. Milliseconds of work where it is due, during which threads that allocate wait.
  void look(Nanoseconds now);
  /// Whether it is due: once for each kTurnover connections, and for the rest of such a wave when
  /// none has ended for kApart; at most once each kApart. Then counts as done.
  bool due(std::uint64_t ended, Nanoseconds now);

  static constexpr std::uint64_t kTurnover = 256;
  static constexpr Nanoseconds kApart = 5 * kSecond;

 private:
  const Counter& ended_;
  std::uint64_t done_for_ = 0, seen_ = 0;
  bool in_wave_ = false;  ///< it was done for some of a wave, the rest may be to come
  Nanoseconds next_ = 0, quiet_from_ = 0;
};

}  // namespace muster::server
