// SIGINT and SIGTERM as a flag, while one of these lives: long verbs end in good order.
#pragma once

#include <signal.h>

#include <atomic>

namespace muster::cli {

class InterruptGuard {
 public:
  InterruptGuard() {
    flag() = false;
    struct sigaction action {};
    action.sa_handler = [](int) { flag() = true; };
    sigaction(SIGINT, &action, &old_int_);
    sigaction(SIGTERM, &action, &old_term_);
  }
  ~InterruptGuard() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool interrupted() { return flag(); }
  /// Raised by the signal, lowered by the next guard.
  static std::atomic<bool>& flag() {
    static constinit std::atomic<bool> raised{false};  // lock-free: a handler may touch it
    return raised;
  }

 private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

}  // namespace muster::cli
