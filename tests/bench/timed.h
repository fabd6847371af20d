// The clock of benches that time a function in this process.
#pragma once

#include <time.h>

#include "tests/bench/bench.h"

namespace muster::bench {

inline double clock_seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// One run of `work`, which handles `items`; CPU time is this thread's.
template <class Work>
Sample timed_run(double items, Work&& work) {
  const double wall = clock_seconds(CLOCK_MONOTONIC), cpu = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
  work();
  return {items, clock_seconds(CLOCK_MONOTONIC) - wall,
          clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu};
}

}  // namespace muster::bench
