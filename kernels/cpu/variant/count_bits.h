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

/// One vector for each of the counts that are taken together.
template <int kCounts>
struct Several {
  Bits of[kCounts];
};

/// Adds 2^kLevel vectors, from `first` on, into low[0 .. kLevel) of each count; returns the carries
/// out of them. `next(i)` gives vectors i; it is called once for each i, in ascending order.
template <int kLevel, int kCounts, class Next>
MUSTER_CELL Several<kCounts> add_vectors(Several<kCounts>* low, const Next& next, size_t first) {
  Several<kCounts> a, b, carry;
  if constexpr (kLevel == 1) {
    a = next(first), b = next(first + 1);
  } else {
    a = add_vectors<kLevel - 1>(low, next, first);
    b = add_vectors<kLevel - 1>(low, next, first + (size_t{1} << (kLevel - 1)));
  }
#pragma GCC unroll 2
  for (int s = 0; s < kCounts; ++s) {
    Bits& digit = low[kLevel - 1].of[s];
    carry.of[s] = majority(digit, a.of[s], b.of[s]);
    digit = parity(digit, a.of[s], b.of[s]);
  }
  return carry;
}

/// count[s] = set bits of next(0).of[s] .. next(n - 1).of[s] at each position; n a multiple of
/// kCountBlock, and with kFew less than kFewVectors. `meanwhile()` is called once a block.
template <bool kFew, int kCounts, class Next, class Meanwhile>
MUSTER_CELL void count_vectors(size_t n, const Next& next, const Meanwhile& meanwhile,
                               SlicedCount* count) {
  constexpr int kLow = kFew ? kFewDigits : 4;
  Several<kCounts> low[kLow] = {};
  int digits = kLow;
  for (size_t block = 0; block < n; block += kCountBlock) {
    meanwhile();
    Several<kCounts> carry = add_vectors<4>(low, next, block);
#pragma GCC unroll 8
    for (int j = 4; j < kLow; ++j)
#pragma GCC unroll 2
      for (int s = 0; s < kCounts; ++s) carry.of[s] = add_carry(low[j].of[s], carry.of[s]);
    if constexpr (!kFew) {
      const bool longer = (block / kCountBlock + 1) >> (digits - 4) != 0;
      for (int s = 0; s < kCounts; ++s) {
        if (longer) count[s].digit[digits] = Bits{};
        for (int j = 4; j < digits + longer; ++j)
          carry.of[s] = add_carry(count[s].digit[j], carry.of[s]);
      }
      digits += longer;
    }
  }
  for (int s = 0; s < kCounts; ++s) {
#pragma GCC unroll 8
    for (int j = 0; j < kLow; ++j) count[s].digit[j] = low[j].of[s];
    count[s].digits = digits;
  }
}

/// Adds up the counts of bit positions that differ in kDistance only; both get the sum. kDigits:
/// the digits to look at, all in use, before the sum's last; 0: those in use.
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
    count.digit[kDigits] = carry;
  } else {
    for (int j = 0; j < count.digits; ++j) fold(j);
    count.digit[count.digits++] = carry;
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
