#include "ingest/slots.h"

#include "base/check.h"

namespace muster::ingest {

SlotPool::SlotPool(MutableBytes slab, std::size_t slot_bytes)
    : slab_(slab),
      slot_bytes_(slot_bytes),
      count_(slot_bytes == 0 ? 0 : slab.size() / slot_bytes),
      free_count_(count_),
      in_use_(count_, false) {
  MUSTER_CHECK(slot_bytes > 0 && slot_bytes % 64 == 0);
  MUSTER_CHECK_OP(count_, <, std::size_t{kNoSlot});
  free_.reserve(count_);
  // Last in, first out: the slot given back last is the one still in the cache.
  for (std::size_t i = count_; i > 0; --i) free_.push_back(static_cast<SlotIndex>(i - 1));
}

std::optional<SlotIndex> SlotPool::take() {
  std::lock_guard lock(mutex_);
  if (free_.empty()) return std::nullopt;
  const SlotIndex slot = free_.back();
  free_.pop_back();
  in_use_[slot] = true;
  free_count_.store(free_.size(), std::memory_order_relaxed);
  return slot;
}

void SlotPool::give_back(SlotIndex slot) {
  std::lock_guard lock(mutex_);
  MUSTER_CHECK(slot < count_ && in_use_[slot]);
  in_use_[slot] = false;
  free_.push_back(slot);
  free_count_.store(free_.size(), std::memory_order_relaxed);
}

}  // namespace muster::ingest
