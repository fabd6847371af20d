// Ends the process when a call of the backend does not come back: a hung kernel, a driver that
// blocks, a collective without its peer. The engine would wait for ever; the spool does not need
// it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>

#include "kernels/backend.h"

namespace muster::kernels::cuda {

/// Seconds that an operation on n rows of d coordinates gets beyond the limit: a thousandth of what
/// an H100 is expected to do (docs/gpu.md), so that no card that works is ever taken for hung.
double allowance(const Codes& codes);
/// The same of `products` multiply-adds.
double allowance_of_products(double products);

/// enter() and leave() by the thread of the backend.
class Watchdog {
 public:
  explicit Watchdog(double limit_seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// While one lives, a call is under way. They may nest: the outermost counts.
  class Call {
   public:
    explicit Call(Watchdog& dog) : dog_(dog) { dog_.enter(); }
    ~Call() { dog_.leave(); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Watchdog& dog_;
  };

  /// Work was queued that may take so long: whatever waits next gets it on top.
  void allow(double seconds) { owed_seconds_ += seconds; }
  /// All that was queued is done.
  void settled() { owed_seconds_ = 0; }

 private:
  void enter();
  void leave();
  void watch();

  const double limit_seconds_;
  double owed_seconds_ = 0;
  int depth_ = 0;
  std::atomic<std::int64_t> deadline_{0};  ///< steady clock, nanoseconds; 0: nothing under way
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ending_ = false;
  std::thread thread_;  ///< last: it reads the others
};

}  // namespace muster::kernels::cuda
