// One range of memory, cut up by address: nothing is allocated after start. Knows addresses only
// and never touches what lies there, so one arena serves device memory and another the pinned slab.
#pragma once

#include <cstddef>
#include <map>

namespace muster::kernels::cuda {

/// One thread at a time.
class Arena {
 public:
  /// Blocks begin at multiples of this and are padded to it: whole sectors, any vector load.
  static constexpr std::size_t kAlignment = 256;

  Arena() = default;
  /// `base` is a multiple of kAlignment.
  Arena(std::byte* base, std::size_t bytes);

  /// The smallest free block that fits, from its front; null where none does.
  std::byte* take(std::size_t bytes);
  /// Dies unless take() gave it.
  void give(std::byte* block);
  bool holds(const std::byte* address) const {
    return address >= base_ && address < base_ + bytes_;
  }

  std::size_t bytes() const { return bytes_; }
  std::size_t free_bytes() const { return free_bytes_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0, free_bytes_ = 0;
  std::map<std::byte*, std::size_t> free_;  ///< never adjacent
  std::map<std::byte*, std::size_t> taken_;
};

}  // namespace muster::kernels::cuda
