// The four calls that the guard stands behind, for the whole process: the real call, made directly,
// and the account of guarded descriptors. tests/ingest pins that libzmq comes here.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "base/hash.h"
#include "ingest/guard_table.h"

namespace muster::ingest {
namespace {

GuardEntry* entry_of(int fd, Guarded kind) {
  if (fd < 0 || fd >= kGuardedDescriptors) return nullptr;
  GuardEntry& entry = guard_table[static_cast<std::size_t>(fd)];
  return entry.kind.load(std::memory_order_acquire) == kind ? &entry : nullptr;
}

// Of the address without its port. An IPv6 peer counts as its /64: it owns all of that.
std::uint64_t address_of(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    return checksum(object_bytes(v4.sin_addr)).low;
  }
  if (peer.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
    return checksum(object_bytes(v6.sin6_addr).first(8)).low;
  }
  return 0;
}

}  // namespace

// Here, so that whoever links the guard links its hooks.
constinit std::array<GuardEntry, kGuardedDescriptors> guard_table{};

struct GuardHooks {
  static int accept(int listener, sockaddr* address, socklen_t* length, int flags) {
    const int fd = static_cast<int>(::syscall(SYS_accept4, listener, address, length, flags));
    GuardEntry* const entry = entry_of(listener, Guarded::kListener);
    if (fd < 0 || entry == nullptr) return fd;
    sockaddr_storage peer{};
    socklen_t peer_length = sizeof peer;
    ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_length);
    if (entry->owner.load()->admit(fd, address_of(peer))) return fd;
    ::syscall(SYS_close, fd);
    errno = ECONNABORTED;  // which a listener must expect
    return -1;
  }

  static int close(int fd) {
    for (const Guarded kind : {Guarded::kConnection, Guarded::kListener})
      if (GuardEntry* const entry = entry_of(fd, kind)) {
        entry->owner.load()->closed(fd);
        break;
      }
    return static_cast<int>(::syscall(SYS_close, fd));
  }

  static ssize_t recv(int fd, void* target, std::size_t length, int flags) {
    const ssize_t got = ::syscall(SYS_recvfrom, fd, target, length, flags, nullptr, nullptr);
    GuardEntry* const entry = got > 0 ? entry_of(fd, Guarded::kConnection) : nullptr;
    if (entry == nullptr) return got;
    return entry->owner.load()->received(fd, static_cast<std::uint64_t>(got)) ? got : 0;
  }
};

}  // namespace muster::ingest

extern "C" {

int accept4(int listener, sockaddr* address, socklen_t* length, int flags) {
  return muster::ingest::GuardHooks::accept(listener, address, length, flags);
}
int accept(int listener, sockaddr* address, socklen_t* length) {
  return muster::ingest::GuardHooks::accept(listener, address, length, 0);
}
int close(int fd) { return muster::ingest::GuardHooks::close(fd); }
ssize_t recv(int fd, void* target, size_t length, int flags) {
  return muster::ingest::GuardHooks::recv(fd, target, length, flags);
}

}  // extern "C"
