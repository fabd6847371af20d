#include "server/memory_trim.h"

#include <malloc.h>

#include "base/log.h"

namespace muster::server {

void MemoryTrim::look(Nanoseconds now) {
  if (now < next_ || !due(ended_.value(), now)) return;
#ifdef __GLIBC__
  ::malloc_trim(0);
  log(LogLevel::kDebug, "memory_trimmed", "memory of ended connections went back to the system");
#endif
}

bool MemoryTrim::due(std::uint64_t ended, Nanoseconds now) {
  if (ended != seen_) quiet_from_ = now + kApart;
  seen_ = ended;
  const bool turnover = ended - done_for_ >= kTurnover;
  const bool rest = in_wave_ && ended != done_for_ && now >= quiet_from_;
  if (now < next_ || !(turnover || rest)) return false;
  in_wave_ = turnover;
  done_for_ = ended;
  next_ = now + kApart;
  return true;
}

}  // namespace muster::server
