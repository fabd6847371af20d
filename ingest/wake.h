// Wakes a thread that polls descriptors. Costs a system call only when that thread is asleep.
#pragma once

#include <atomic>

namespace muster::ingest {

class WakeUp {
 public:
  WakeUp();
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;

  /// Any thread, after it has put the work where the sleeper looks for it.
  void signal();

  /// The sleeper: arm(), look for work once more, poll descriptor() for reading, disarm().
  void arm() { armed_.store(true); }
  void disarm();
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
  std::atomic<bool> armed_{false};
};

}  // namespace muster::ingest
