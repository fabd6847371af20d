// Tells systemd how the service does: READY, STATUS, WATCHDOG, RELOADING, STOPPING. Our own
// datagram instead of a library, so that nothing of systemd is linked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace muster::monitoring {

/// Thread-safe. Without NOTIFY_SOCKET every call does nothing.
class Notifier {
 public:
  /// Reads NOTIFY_SOCKET ("/path" or "@abstract") and WATCHDOG_USEC.
  static Notifier from_environment();

  void ready(std::string_view status) const;
  void status(std::string_view text) const;
  void reloading() const;
  void stopping() const;
  /// Only from a thread whose going round proves that the service works.
  void watchdog() const;
  /// Whether systemd expects watchdog().
  bool watched() const { return watched_; }

 private:
  void send(const std::string& message) const;

  std::string address_;  ///< as sockaddr_un wants it: a NUL first where it is abstract
  bool watched_ = false;
};

}  // namespace muster::monitoring
