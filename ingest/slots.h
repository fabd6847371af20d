// Fixed-size pieces of the slab that the server hands in (pinned memory where there is a GPU). A
// slot holds one spool record: its header and its payload, ready for disk and for decode. Slots are
// the backpressure of the whole server: no slot, no admission.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace muster::ingest {

using SlotIndex = std::uint32_t;
inline constexpr SlotIndex kNoSlot = ~SlotIndex{0};

/// Thread-safe: receivers take, the engine gives back.
class SlotPool {
 public:
  /// `slab` outlives the pool; `slot_bytes` is a multiple of 64. Leftover bytes are not used.
  SlotPool(MutableBytes slab, std::size_t slot_bytes);

  std::optional<SlotIndex> take();
  void give_back(SlotIndex slot);
  MutableBytes bytes(SlotIndex slot) const {
    return slab_.subspan(slot * slot_bytes_, slot_bytes_);
  }
  std::size_t slot_bytes() const { return slot_bytes_; }
  std::size_t count() const { return count_; }
  std::size_t free_count() const { return free_count_.load(std::memory_order_relaxed); }

 private:
  MutableBytes slab_;
  std::size_t slot_bytes_;
  std::size_t count_;
  std::atomic<std::size_t> free_count_;
  // A lock of two instructions' hold time, taken twice a message by at most k + 1 threads: measured
  // far below one per cent of a message. Guards free_ and in_use_.
  std::mutex mutex_;
  std::vector<SlotIndex> free_;
  std::vector<bool> in_use_;
};

}  // namespace muster::ingest
