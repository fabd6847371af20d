#include "kernels/cuda/arena.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace muster::kernels::cuda {

Arena::Arena(std::byte* base, std::size_t bytes)
    : base_(base), bytes_(bytes / kAlignment * kAlignment), free_bytes_(bytes_) {
  if (bytes_ != 0) free_[base_] = bytes_;
}

std::byte* Arena::take(std::size_t bytes) {
  if (bytes > free_bytes_) return nullptr;  // and rounding up cannot overflow
  const std::size_t wanted = align_up(std::max<std::size_t>(bytes, 1), kAlignment);
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it)
    if (it->second >= wanted && (best == free_.end() || it->second < best->second)) best = it;
  if (best == free_.end()) return nullptr;
  const auto [block, length] = *best;
  free_.erase(best);
  if (length > wanted) free_[block + wanted] = length - wanted;
  taken_[block] = wanted;
  free_bytes_ -= wanted;
  return block;
}

void Arena::give(std::byte* block) {
  const auto taken = taken_.find(block);
  MUSTER_CHECK(taken != taken_.end());
  std::size_t length = taken->second;
  taken_.erase(taken);
  free_bytes_ += length;
  const auto next = free_.upper_bound(block);
  if (next != free_.end() && block + length == next->first) {
    length += next->second;
    free_.erase(next);
  }
  auto before = free_.lower_bound(block);
  if (before != free_.begin() && (--before)->first + before->second == block)
    before->second += length;
  else
    free_[block] = length;
}

}  // namespace muster::kernels::cuda
