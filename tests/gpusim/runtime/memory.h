// Which addresses the emulated CUDA knows, and what they are. Device memory is host memory under
// its own address. Not thread-safe: callers hold the runtime's lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/gpusim/ptx/machine.h"
#include "tests/gpusim/runtime/settings.h"

namespace gpusim {

enum class MemoryKind : std::uint8_t { kDevice, kPool, kManaged, kPinned, kRegistered, kSymbol };

// "device memory", "pinned host memory", ...
std::string_view name(MemoryKind kind);

struct Allocation {
  const std::byte* begin = nullptr;
  std::size_t bytes = 0;
  int device = 0;
  MemoryKind kind = MemoryKind::kDevice;
  std::uint64_t serial = 0;  // counts allocations of the process, from 1

  bool device_side() const { return kind <= MemoryKind::kManaged || kind == MemoryKind::kSymbol; }
  bool host_side() const { return !device_side() || kind == MemoryKind::kManaged; }
};

class Memory {
 public:
  Memory(const Settings& settings, Machine& machine) : settings_(settings), machine_(machine) {}

  // Null when the device is full or this allocation was asked to fail. Fresh bytes are garbage.
  void* allocate(std::size_t bytes, int device, MemoryKind kind);
  // `p` must begin an allocation made by allocate().
  void release(const void* p);

  // Memory of somebody else: host ranges being pinned, variables of modules.
  void adopt(const void* p, std::size_t bytes, int device, MemoryKind kind);
  void abandon(const void* p);

  // The allocation that holds this address; null for memory CUDA does not know (pageable).
  const Allocation* find(const void* p) const;
  // Whether any known allocation touches the range.
  bool overlaps(const void* p, std::size_t bytes) const;
  // Why [p, p + bytes) is not device memory that `device` may use; nothing if it is. A negative
  // device stands for any.
  std::optional<std::string> device_range_fault(const void* p, std::size_t bytes, int device) const;

  std::size_t free_bytes(int device) const {
    return settings_.memory_bytes - used_[static_cast<std::size_t>(device)];
  }
  std::uint64_t allocations() const { return serial_; }  // made or refused so far
  const std::map<const std::byte*, Allocation>& all() const { return table_; }

 private:
  const Settings& settings_;
  Machine& machine_;
  std::map<const std::byte*, Allocation> table_;
  std::array<std::size_t, kMostDevices> used_{};
  std::uint64_t serial_ = 0;
};

}  // namespace gpusim
