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
/// Digits of a count of fewer than 256 vectors. Their number is known to the compiler, which keeps
/// them in registers.
constexpr int kFewDigits = 8;
constexpr size_t kFewVectors = size_t{1} << kFewDigits;

/// A sliced number, and how many of its digits are in use.
struct SlicedCount {
  int digits = 0;
  Bits digit[kCountDigits + 1];
};

/// digit + carry, both of one digit: the digit, and the new carry returned.
MUSTER_CELL Bits add_carry(Bits& digit, Bits carry) {
  const Bits both = digit & carry;
  digit ^= carry;
  return both;
}

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

/// count = set bits of next(0) .. next(n - 1) at each position; n a multiple of kCountBlock, and
/// with kFew less than kFewVectors.
template <bool kFew, class Next>
MUSTER_CELL void count_vectors(size_t n, const Next& next, SlicedCount& count) {
  constexpr int kLow = kFew ? kFewDigits : 4;
  Bits low[kLow] = {};
  int digits = kLow;
  for (size_t block = 0; block < n; block += kCountBlock) {
    Bits carry = add_vectors<4>(low, next, block);
#pragma GCC unroll 8
    for (int j = 4; j < kLow; ++j) carry = add_carry(low[j], carry);
    if constexpr (!kFew) {
      if ((block / kCountBlock + 1) >> (digits - 4) != 0) count.digit[digits++] = Bits{};
      for (int j = 4; j < digits; ++j) carry = add_carry(count.digit[j], carry);
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kLow; ++j) count.digit[j] = low[j];
  count.digits = digits;
}

/// Adds up the counts of bit positions that differ in kDistance only; both get the sum. kDigits:
/// the digits to look at, enough for the sum; 0: those in use.
template <int kDistance, int kDigits>
MUSTER_CELL void fold_count(SlicedCount& count) {
  Bits carry = {};
  const auto fold = [&](int j) {
    const Bits mine = count.digit[j], other = swap_halves(mine, kDistance);
    count.digit[j] = parity(mine, other, carry);
    carry = majority(mine, other, carry);
  };
  if constexpr (kDigits > 0) {
#pragma GCC unroll 16
    for (int j = 0; j < kDigits; ++j) fold(j);
  } else {
    for (int j = 0; j < count.digits; ++j) fold(j);
    count.digit[count.digits++] = carry;
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
