// Sums on the grid that become other sums on the grid, one coordinate.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

/// target + round((sum - pull * target) / divisor): in f64, ties to even; exact addition.
MUSTER_CELL int64_t merged(int64_t target, int64_t sum, double pull, double divisor) {
  const double move = (to_double(sum) - pull * to_double(target)) / divisor;
  return static_cast<int64_t>(static_cast<uint64_t>(target) +
                              static_cast<uint64_t>(round_even(move)));
}

/// -1, 0 or 1.
MUSTER_CELL int64_t sign_of(int64_t v) {
  return static_cast<int64_t>(v > 0) - static_cast<int64_t>(v < 0);
}
/// The same of a coordinate; 0 where it is NaN or infinite.
MUSTER_CELL int32_t vote_of(float x) {
  const int32_t sign = (x > 0 ? 1 : 0) - (x < 0 ? 1 : 0);
  return (bits_of(x) & 0x7fffffffu) < 0x7f800000u ? sign : 0;
}

}  // namespace muster::kernels::cell
