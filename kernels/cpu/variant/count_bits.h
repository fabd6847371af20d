// Counting set bits over many vectors, each bit position for itself: carry-save adders (Harley and
// Seal), about two logic operations a vector where the level has three-operand logic.
#pragma once

#include "kernels/cpu/variant/bits.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Vectors counted together.
constexpr size_t kCountBlock = 16;
/// Digits of a count: fewer than 2^24 rows.
constexpr int kCountDigits = 24;

/// A sliced number, and how many of its digits are in use.
struct SlicedCount {
  int digits = 0;
  Bits digit[kCountDigits + 1];
};

/// Adds 2^kLevel vectors, from `first` on, into low[0 .. kLevel); returns the carry out of them.
/// `next(i)` gives vector i; it is called once for each i, in ascending order.
template <int kLevel, class Next>
MUSTER_CELL Bits add_vectors(Bits* low, const Next& next, size_t first) {
  Bits a, b;
  if constexpr (kLevel == 1) {
    a = next(first), b = next(first + 1);
  } else {
    a = add_vectors<kLevel - 1>(low, next, first);
    b = add_vectors<kLevel - 1>(low, next, first + (size_t{1} << (kLevel - 1)));
  }
  const Bits carry = majority(low[kLevel - 1], a, b);
  low[kLevel - 1] = parity(low[kLevel - 1], a, b);
  return carry;
}

/// count = set bits of next(0) .. next(n - 1) at each position; n a multiple of kCountBlock.
template <class Next>
MUSTER_CELL void count_vectors(size_t n, const Next& next, SlicedCount& count) {
  Bits low[4] = {};
  int digits = 4;
  for (size_t block = 0; block < n; block += kCountBlock) {
    Bits carry = add_vectors<4>(low, next, block);
    if ((block / kCountBlock + 1) >> (digits - 4) != 0) count.digit[digits++] = Bits{};
    for (int j = 4; j < digits; ++j) {
      const Bits sum = count.digit[j] ^ carry;
      carry &= count.digit[j];
      count.digit[j] = sum;
    }
  }
  for (int j = 0; j < 4; ++j) count.digit[j] = low[j];
  count.digits = digits;
}

/// Adds up the counts of bit positions that differ in kDistance only; both get the sum.
template <int kDistance>
MUSTER_CELL void fold_count(SlicedCount& count) {
  Bits carry = {};
  for (int j = 0; j < count.digits; ++j) {
    const Bits mine = count.digit[j], other = swap_halves(mine, kDistance);
    count.digit[j] = parity(mine, other, carry);
    carry = majority(mine, other, carry);
  }
  count.digit[count.digits++] = carry;
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
