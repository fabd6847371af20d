#include "kernels/cuda/watchdog.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cuda/device.h"

namespace muster::kernels::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kElementsPerSecond = 1e9;
constexpr double kProductsPerSecond = 3e10;
constexpr std::chrono::milliseconds kLook{250};

std::int64_t nanoseconds(Clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
}

}  // namespace

double allowance(const Codes& codes) {
  return static_cast<double>(codes.n()) * static_cast<double>(codes.d) / kElementsPerSecond;
}

double allowance_of_products(double products) { return products / kProductsPerSecond; }

Watchdog::Watchdog(double limit_seconds)
    : limit_seconds_(limit_seconds), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

void Watchdog::enter() {
  if (depth_++ > 0) return;
  const auto allowed = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(limit_seconds_ + owed_seconds_));
  deadline_.store(nanoseconds(Clock::now() + allowed), std::memory_order_relaxed);
}

void Watchdog::leave() {
  if (--depth_ == 0) deadline_.store(0, std::memory_order_relaxed);
}

void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock,
                          std::min<std::chrono::duration<double>>(
                              kLook, std::chrono::duration<double>(limit_seconds_ / 4)),
                          [this] { return ending_; })) {
    const std::int64_t deadline = deadline_.load(std::memory_order_relaxed);
    if (deadline != 0 && nanoseconds(Clock::now()) > deadline)
      device_failed("hang",
                    fmt::format("no progress for {:.0f} s and what the work queued may take",
                                limit_seconds_));
  }
}

}  // namespace muster::kernels::cuda
