#include "kernels/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>

namespace muster::kernels {
namespace {
constexpr std::size_t kAlignment = 64;
/// A column of many rows meets a page a row: with small pages each step would wait for the page
/// tables too.
constexpr std::size_t kHugePage = 2 * 1024 * 1024;
}  // namespace

HostMemory host_memory(std::size_t bytes) {
  const bool large = bytes >= kHugePage;
  void* address = nullptr;
  // Not aligned_alloc(), which wants whole multiples of the alignment.
  if (::posix_memalign(&address, large ? kHugePage : kAlignment, bytes) != 0) return {};
  HostMemory memory(static_cast<std::byte*>(address));
#if defined(MADV_HUGEPAGE)
  // Whole huge pages only, so that no more becomes resident. A system without them refuses: fine.
  if (large) ::madvise(address, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return memory;
}

Result<Buffer> HostBuffers::allocate(std::size_t bytes) {
  const std::size_t limit =
      budget_bytes_ != 0 ? budget_bytes_ : std::numeric_limits<std::size_t>::max() / 2;
  const std::size_t left = limit - allocated_bytes_;
  if (bytes > left)
    return Status(Code::kExhausted, "backend_memory",
                  fmt::format("{} bytes asked for, {} of {} left", bytes, left, limit));
  // Charged as asked for, so that a plan's sum is the budget it needs.
  HostMemory memory = host_memory(align_up(bytes == 0 ? 1 : bytes, kAlignment));
  if (memory == nullptr)
    return Status(Code::kExhausted, "backend_memory",
                  fmt::format("the system refused {} bytes", bytes));
  std::memset(memory.get(), 0, bytes);
  const Buffer buffer{memory.get(), bytes};
  allocated_bytes_ += bytes;
  entries_.emplace(buffer.data, Entry{std::move(memory), bytes});
  return buffer;
}

void HostBuffers::release(Buffer buffer) {
  if (buffer.data == nullptr) return;
  const auto entry = entries_.find(buffer.data);
  MUSTER_CHECK(entry != entries_.end());
  allocated_bytes_ -= entry->second.charged_bytes;
  entries_.erase(entry);
}

void* Scratch::reserve(std::size_t bytes) {
  if (bytes > bytes_) {
    memory_.reset();
    memory_ = host_memory(align_up(bytes, kAlignment));
    MUSTER_CHECK(memory_ != nullptr);
    bytes_ = bytes;
  }
  return memory_.get();
}

}  // namespace muster::kernels
