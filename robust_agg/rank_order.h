// The rows of a cohort in the order of their ranks, a window at a time; inside this room only. The
// memory of it does not grow with the cohort, which is why nothing is sorted as a whole.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace muster::robust {

class RankOrder {
 public:
  /// `ranks` must outlive this.
  explicit RankOrder(std::span<const std::uint64_t> ranks);

  /// Rows at positions [first, last) of the order by (rank, row); valid until the next call. Reads
  /// all ranks where the window has to move, so positions are best asked for in ascending order.
  std::span<const std::uint32_t> rows(std::size_t first, std::size_t last);

 private:
  std::size_t bin_of(std::uint64_t rank) const { return (rank - least_) >> shift_; }
  void move_to(std::size_t first, std::size_t last);

  std::span<const std::uint64_t> ranks_;
  std::uint64_t least_ = 0;
  int shift_ = 0;
  std::vector<std::uint32_t> counts_;  ///< ranks of each bin
  std::vector<std::uint32_t> window_;
  std::size_t begin_ = 0;  ///< position of window_[0]
};

}  // namespace muster::robust
