// All memory of the backend: taken once at start, cut up afterwards.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "kernels/backend.h"
#include "kernels/cuda/arena.h"
#include "kernels/cuda/device.h"

namespace muster::kernels::cuda {

/// What a backend is given at start.
struct MemoryBudget {
  std::size_t device_bytes = 0;  ///< of Backend::allocate
  std::size_t pinned_bytes = 0;  ///< of Backend::allocate_host
};

/// One thread at a time.
class Memory {
 public:
  /// "backend_memory" with numbers where the device or the system refuses.
  static Result<std::unique_ptr<Memory>> take(const MemoryBudget& budget);

  /// As Backend::allocate, but not zeroed.
  Result<Buffer> allocate(std::size_t bytes);
  /// As Backend::allocate_host, but not zeroed.
  Result<Buffer> allocate_host(std::size_t bytes);
  /// What either gave.
  void release(Buffer buffer);
  /// As asked for.
  std::size_t allocated_bytes() const { return allocated_bytes_; }
  bool is_host(const std::byte* address) const { return pinned_.holds(address); }

  /// Scratch of one operation, beside the budget. Dies where there is none: a plan that asked
  /// scratch_bytes() leaves room.
  std::byte* take_scratch(std::size_t bytes);
  void give_scratch(std::byte* block) { device_.give(block); }

  MutableBytes ring() const { return {pinned_memory_.get(), kRingBytes}; }

 private:
  Memory() = default;
  Result<Buffer> carve(Arena& arena, std::size_t bytes);

  /// Tables and results on their way: a job of a million rows has 24 MB of them, in pieces.
  static constexpr std::size_t kRingBytes = std::size_t{4} << 20;

  DeviceMemory device_memory_;
  PinnedMemory pinned_memory_;  ///< the ring, then the slab
  Arena device_, pinned_;
  std::size_t budget_bytes_ = 0, allocated_bytes_ = 0;
  std::unordered_map<std::byte*, std::size_t> charged_;  ///< device blocks, as asked for
};

}  // namespace muster::kernels::cuda
