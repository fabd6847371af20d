#include "ingest/wake.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/check.h"

namespace muster::ingest {

WakeUp::WakeUp() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  MUSTER_CHECK_OP(descriptor_, >=, 0);
}

WakeUp::~WakeUp() { ::close(descriptor_); }

void WakeUp::signal() {
  if (!armed_.exchange(false)) return;
  const std::uint64_t one = 1;
  while (::write(descriptor_, &one, sizeof one) < 0  // NOLINT(disk): an eventfd
         && errno == EINTR) {
  }
}

void WakeUp::disarm() {
  // Where a signal() was faster, its write is under way or done; a later poll sees it at worst.
  if (armed_.exchange(false)) return;
  std::uint64_t count;
  while (::read(descriptor_, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace muster::ingest
