// Host memory of the CPU backend: aligned, zeroed, within a budget.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <unordered_map>

#include "kernels/backend.h"

namespace muster::kernels {

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
using HostMemory = std::unique_ptr<std::byte, FreeDeleter>;

/// `bytes` at a 64-byte boundary, not initialised; null where the system has no more.
HostMemory host_memory(std::size_t bytes);

/// The buffers of one backend. One thread at a time.
class HostBuffers {
 public:
  explicit HostBuffers(std::size_t budget_bytes) : budget_bytes_(budget_bytes) {}

  /// As Backend::allocate.
  Result<Buffer> allocate(std::size_t bytes);
  void release(Buffer buffer);
  std::size_t allocated_bytes() const { return allocated_bytes_; }

 private:
  struct Entry {
    HostMemory memory;
    std::size_t charged_bytes = 0;
  };
  std::size_t budget_bytes_;  ///< 0: no limit
  std::size_t allocated_bytes_ = 0;
  std::unordered_map<const std::byte*, Entry> entries_;
};

/// Memory one worker reuses from call to call; grows, never shrinks.
class Scratch {
 public:
  /// At least `bytes`, not initialised; what an earlier call returned is gone.
  void* reserve(std::size_t bytes);

 private:
  HostMemory memory_;
  std::size_t bytes_ = 0;
};

}  // namespace muster::kernels
