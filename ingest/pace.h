// How long devices are told to wait: longer, the more of them come back for nothing.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace muster::ingest {

class RetryPace {
 public:
  static constexpr std::uint32_t kLeastMs = 500;
  static constexpr std::uint32_t kMostMs = 60'000;
  /// Messages a second in vain that a node bears without noticing.
  static constexpr std::uint64_t kBearable = 2'000;

  /// A message that has to come again.
  void count() { ++in_vain_; }
  /// Once in a while: moves the wait towards one that makes kBearable of them a second.
  void tick(Nanoseconds now) {
    if (now - since_ < kSecond) return;
    const double rate = static_cast<double>(in_vain_) * kSecond / static_cast<double>(now - since_);
    const double factor = std::clamp(rate / static_cast<double>(kBearable), 0.5, 2.0);
    wait_ms_ = std::clamp(static_cast<std::uint32_t>(wait_ms_ * factor), kLeastMs, kMostMs);
    since_ = now;
    in_vain_ = 0;
  }
  std::uint32_t wait_ms() const { return wait_ms_; }

 private:
  Nanoseconds since_ = 0;
  std::uint64_t in_vain_ = 0;
  std::uint32_t wait_ms_ = kLeastMs;
};

}  // namespace muster::ingest
