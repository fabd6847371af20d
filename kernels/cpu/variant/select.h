// Order statistics of a tile of columns, bit-sliced: the time depends on the size alone, never on
// the values, so no cohort can be hostile to it.
//
// A tile is n rows of kBits-bit keys (unsigned, ordered as the coordinates), row after row, seen as
// one run of vectors: kBits of them make a group and are transposed, so that bit i of plane b of
// group g is bit b of a key of vector g * kBits + i. A row fills `slices` vectors, a group holds
// kBits / slices rows; the bit positions of a lane are its pairs of row and slice. The planes are
// walked from the top digit down. For each rank and column the set of rows that agree with the
// digits found so far is kept; the zeros of the next plane within it are counted, and the rank says
// on which side of them it lies. A group costs some five logic operations a digit and rank where
// the level has three-operand logic; it is kBits * kVectorBytes of keys.
#pragma once

#include "kernels/cpu/variant/count_bits.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Keys of a tile as bits.
struct Planes {
  const Bits* plane;  ///< kBits of them, least significant digit first
  size_t pitch;       ///< groups from plane to plane
  size_t groups;      ///< multiple of kCountBlock
  int slices;
};

/// The search for the key of one rank.
struct RankSearch {
  Bits* eligible;  ///< one vector a group: rows that agree with the digits found so far
  Bits* key;       ///< result, sliced: one vector a digit, least significant first
  int digits;      ///< of the rank
  Bits left[kCountDigits + 1];  ///< the rank within the eligible rows, sliced
  Bits bit;                     ///< the digit found last
};

void start_search(RankSearch& search, uint32_t rank, size_t n) {
  search.digits = 0;
  for (; n >> search.digits != 0; ++search.digits)
    search.left[search.digits] = all_bits((rank >> search.digits & 1) != 0);
}

/// Zeros of plane `digit` within the eligible rows. kAbove: planes above it, as far as they matter:
/// 0 and 1 need no stored set.
template <int kAbove>
void count_zeros(const Planes& planes, int digit, const RankSearch& search, SlicedCount& count) {
  const Bits* __restrict plane = planes.plane + static_cast<size_t>(digit) * planes.pitch;
  const Bits* __restrict above = plane + planes.pitch;
  Bits* __restrict eligible = search.eligible;
  const Bits bit = search.bit;
  count_vectors(
      planes.groups,
      [&](size_t g) {
        if constexpr (kAbove == 0) return ~plane[g];
        const Bits before = kAbove == 1 ? all_bits(true) : eligible[g];
        const Bits now = where_equal(before, above[g], bit);
        eligible[g] = now;
        return now & ~plane[g];
      },
      count);
}

/// One more digit: it is one where the rank lies past the zeros.
void take_digit(int digit, SlicedCount& zeros, RankSearch& search) {
  Bits rest[kCountDigits + 1];
  const int digits = zeros.digits > search.digits ? zeros.digits : search.digits;
  for (int j = zeros.digits; j < digits; ++j) zeros.digit[j] = Bits{};
  for (int j = search.digits; j < digits; ++j) search.left[j] = Bits{};
  Bits borrow = {};
  for (int j = 0; j < digits; ++j) {
    rest[j] = parity(search.left[j], zeros.digit[j], borrow);
    borrow = majority(~search.left[j], zeros.digit[j], borrow);
  }
  search.bit = ~borrow;
  for (int j = 0; j < search.digits; ++j)
    search.left[j] = choose(search.bit, rest[j], search.left[j]);
  search.key[digit] = search.bit;
}

/// Counts over the bit positions that belong to the same column.
template <int kBits>
void fold_rows(int slices, SlicedCount& count) {
  if (slices <= 1) fold_count<1>(count);
  if (slices <= 2) fold_count<2>(count);
  if (slices <= 4) fold_count<4>(count);
  if (kBits > 8 && slices <= 8) fold_count<8>(count);
  if (kBits > 16 && slices <= 16) fold_count<16>(count);
}

/// Fills search[s].key for `searches` searches that have been started.
template <int kBits>
void find_keys(const Planes& planes, RankSearch* search, int searches) {
  for (int digit = kBits - 1; digit >= 0; --digit) {
    SlicedCount zeros;
    for (int s = 0; s < searches; ++s) {
      // At the top all rows are eligible, in every search.
      const bool counted = digit == kBits - 1 && s > 0;
      if (!counted) {
        if (digit == kBits - 1)
          count_zeros<0>(planes, digit, search[s], zeros);
        else if (digit == kBits - 2)
          count_zeros<1>(planes, digit, search[s], zeros);
        else
          count_zeros<2>(planes, digit, search[s], zeros);
        fold_rows<kBits>(planes.slices, zeros);
      }
      take_digit(digit, zeros, search[s]);
    }
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
