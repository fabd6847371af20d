// Time as a parameter: deadlines run on the monotonic clock, wall time is for people only.
#pragma once

#include <atomic>
#include <cstdint>

namespace muster {

using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds kMicrosecond = 1'000;
inline constexpr Nanoseconds kMillisecond = 1'000'000;
inline constexpr Nanoseconds kSecond = 1'000'000'000;

/// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Monotonic nanoseconds since an arbitrary start. Never goes back.
  virtual Nanoseconds now() const = 0;
  /// Milliseconds since 1970 (UTC). For logs and records; may jump.
  virtual std::int64_t wall_ms() const = 0;
};

class SystemClock final : public Clock {
 public:
  Nanoseconds now() const override;
  std::int64_t wall_ms() const override;
};

/// Moves only when told to.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Nanoseconds start = kSecond) : now_(start) {}
  Nanoseconds now() const override { return now_.load(); }
  std::int64_t wall_ms() const override { return now_.load() / kMillisecond; }
  void advance(Nanoseconds by) { now_ += by; }

 private:
  std::atomic<Nanoseconds> now_;
};

}  // namespace muster
