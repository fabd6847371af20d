#include "monitoring/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace muster::monitoring {

Notifier Notifier::from_environment() {
  Notifier notifier;
  const char* address = std::getenv("NOTIFY_SOCKET");
  if (address != nullptr && (address[0] == '/' || address[0] == '@') && address[1] != '\0' &&
      std::strlen(address) < sizeof(sockaddr_un::sun_path)) {
    notifier.address_ = address;
    if (address[0] == '@') notifier.address_[0] = '\0';
  }
  const char* period = std::getenv("WATCHDOG_USEC");
  const char* process = std::getenv("WATCHDOG_PID");
  notifier.watched_ = !notifier.address_.empty() && period != nullptr &&
                      (process == nullptr || std::atol(process) == ::getpid());
  return notifier;
}

void Notifier::ready(std::string_view text) const { send("READY=1\nSTATUS=" + std::string(text)); }
void Notifier::status(std::string_view text) const { send("STATUS=" + std::string(text)); }
void Notifier::stopping() const { send("STOPPING=1"); }
void Notifier::watchdog() const {
  if (watched_) send("WATCHDOG=1");
}

void Notifier::reloading() const {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto usec = static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec));
}

void Notifier::send(const std::string& message) const {
  if (address_.empty()) return;
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, address_.data(), address_.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  // Whether it arrives is systemd's business: a service must not fail for want of a listener.
  [[maybe_unused]] const ssize_t sent =
      ::sendto(fd, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&name), length);
  ::close(fd);
}

}  // namespace muster::monitoring
