// Waits that double, with jitter, so that a fleet does not come back in step.
#pragma once

#include <algorithm>

#include "base/clock.h"
#include "client/random.h"

namespace muster::client {

class BackOff {
 public:
  BackOff(Nanoseconds first, Nanoseconds limit) : first_(first), limit_(limit), next_(first) {}

  /// The next wait: uniform in [1/2, 1] of a doubling span, at most the limit.
  Nanoseconds wait(Random& random) {
    const auto span = static_cast<double>(next_);
    next_ = std::min(limit_, next_ * 2);
    return static_cast<Nanoseconds>(span * (0.5 + 0.5 * random.uniform()));
  }
  /// After progress.
  void reset() { next_ = first_; }

 private:
  Nanoseconds first_;
  Nanoseconds limit_;
  Nanoseconds next_;
};

}  // namespace muster::client
