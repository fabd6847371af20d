#include "tests/gpusim/runtime/memory.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

namespace gpusim {
namespace {

constexpr std::size_t kAlignment = 256;  // what cudaMalloc promises
constexpr std::size_t kGap = 256;        // so that one allocation never ends where another begins
constexpr int kGarbage = 0xcd;           // a large negative number in every format

const std::byte* address(const void* p) { return static_cast<const std::byte*>(p); }

bool on_device(MemoryKind kind) { return kind == MemoryKind::kDevice || kind == MemoryKind::kPool; }

}  // namespace

std::string_view name(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::kDevice:
      return "device memory";
    case MemoryKind::kPool:
      return "device memory of a pool";
    case MemoryKind::kManaged:
      return "managed memory";
    case MemoryKind::kPinned:
      return "pinned host memory";
    case MemoryKind::kRegistered:
      return "registered host memory";
    case MemoryKind::kSymbol:
      return "a device variable";
  }
  return "unknown memory";
}

void* Memory::allocate(std::size_t bytes, int device, MemoryKind kind) {
  if (++serial_ == settings_.fail_malloc) return nullptr;
  if (on_device(kind) && bytes > free_bytes(device)) return nullptr;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* p = std::aligned_alloc(kAlignment, rounded + kGap);
  if (p == nullptr) return nullptr;
  std::memset(p, kGarbage, rounded + kGap);
  table_[address(p)] = {address(p), bytes, device, kind, serial_};
  if (on_device(kind)) used_[static_cast<std::size_t>(device)] += bytes;
  // Host writes pass unseen, so memory the host can write counts as written.
  machine_.add_memory(p, bytes, on_device(kind) ? device : Machine::kEveryDevice, !on_device(kind));
  return p;
}

void Memory::release(const void* p) {
  const auto found = table_.find(address(p));
  const Allocation& allocation = found->second;
  if (on_device(allocation.kind))
    used_[static_cast<std::size_t>(allocation.device)] -= allocation.bytes;
  machine_.remove_memory(p);
  table_.erase(found);
  std::free(const_cast<void*>(p));
}

void Memory::adopt(const void* p, std::size_t bytes, int device, MemoryKind kind) {
  table_[address(p)] = {address(p), bytes, device, kind, ++serial_};
  // The machine knows the variables of its modules.
  if (kind == MemoryKind::kRegistered) machine_.add_memory(p, bytes, Machine::kEveryDevice, true);
}

void Memory::abandon(const void* p) {
  const auto found = table_.find(address(p));
  if (found->second.kind == MemoryKind::kRegistered) machine_.remove_memory(p);
  table_.erase(found);
}

const Allocation* Memory::find(const void* p) const {
  auto after = table_.upper_bound(address(p));
  if (after == table_.begin()) return nullptr;
  const Allocation& allocation = std::prev(after)->second;
  return address(p) < allocation.begin + allocation.bytes ? &allocation : nullptr;
}

bool Memory::overlaps(const void* p, std::size_t bytes) const {
  if (find(p) != nullptr) return true;
  const auto next = table_.lower_bound(address(p));
  return next != table_.end() && next->first < address(p) + bytes;
}

std::optional<std::string> Memory::device_range_fault(const void* p, std::size_t bytes,
                                                      int device) const {
  const Allocation* allocation = find(p);
  if (allocation == nullptr)
    return fmt::format("{} is no address of device memory (pageable host memory, or freed)", p);
  if (!allocation->device_side())
    return fmt::format("{} is {}, not device memory", p, name(allocation->kind));
  const auto offset = static_cast<std::size_t>(address(p) - allocation->begin);
  if (bytes > allocation->bytes - offset)
    return fmt::format("{} bytes at {} run {} bytes past the end of an allocation of {} bytes",
                       bytes, p, bytes - (allocation->bytes - offset), allocation->bytes);
  if (device >= 0 && allocation->device != device && allocation->kind != MemoryKind::kManaged)
    return fmt::format("{} is memory of device {}, used on device {}", p, allocation->device,
                       device);
  return std::nullopt;
}

}  // namespace gpusim
