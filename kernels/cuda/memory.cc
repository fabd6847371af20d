#include "kernels/cuda/memory.h"

#include <fmt/format.h>

namespace muster::kernels::cuda {
namespace {

/// Beyond the budget: blocks are padded, and operations need scratch.
constexpr std::size_t kReserveBytes = std::size_t{1} << 20;
constexpr std::size_t kReserveShare = 16;

}  // namespace

Result<std::unique_ptr<Memory>> Memory::take(const MemoryBudget& budget) {
  std::unique_ptr<Memory> memory(new Memory);
  const std::size_t device_bytes =
      budget.device_bytes + kReserveBytes + budget.device_bytes / kReserveShare;
  MUSTER_ASSIGN(memory->device_memory_, allocate_device(device_bytes));
  const std::size_t slab_bytes = align_up(budget.pinned_bytes, Arena::kAlignment);
  MUSTER_ASSIGN(memory->pinned_memory_, allocate_pinned(kRingBytes + slab_bytes));
  memory->budget_bytes_ = budget.device_bytes;
  memory->device_ = Arena(memory->device_memory_.get(), device_bytes);
  memory->pinned_ = Arena(memory->pinned_memory_.get() + kRingBytes, slab_bytes);
  return memory;
}

Result<Buffer> Memory::carve(Arena& arena, std::size_t bytes) {
  if (std::byte* block = arena.take(bytes)) return Buffer{block, bytes};
  return Status(Code::kExhausted, "backend_memory",
                fmt::format("{} bytes asked for, {} of {} left, not in one piece", bytes,
                            arena.free_bytes(), arena.bytes()));
}

Result<Buffer> Memory::allocate(std::size_t bytes) {
  if (bytes > budget_bytes_ - allocated_bytes_)
    return Status(Code::kExhausted, "backend_memory",
                  fmt::format("{} bytes asked for, {} of {} left", bytes,
                              budget_bytes_ - allocated_bytes_, budget_bytes_));
  MUSTER_ASSIGN(const Buffer buffer, carve(device_, bytes));
  allocated_bytes_ += bytes;
  charged_[buffer.data] = bytes;
  return buffer;
}

Result<Buffer> Memory::allocate_host(std::size_t bytes) { return carve(pinned_, bytes); }

void Memory::release(Buffer buffer) {
  if (buffer.data == nullptr) return;
  if (is_host(buffer.data)) return pinned_.give(buffer.data);
  const auto charged = charged_.find(buffer.data);
  MUSTER_CHECK(charged != charged_.end());
  allocated_bytes_ -= charged->second;
  charged_.erase(charged);
  device_.give(buffer.data);
}

std::byte* Memory::take_scratch(std::size_t bytes) {
  std::byte* block = device_.take(bytes);
  if (block == nullptr)
    check_failed("scratch", __FILE__, __LINE__,
                 fmt::format("{} bytes, {} left", bytes, device_.free_bytes()));
  return block;
}

}  // namespace muster::kernels::cuda
