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

/// Consecutive digits of the keys of a tile, as bits.
struct Planes {
  const Bits* plane;  ///< `digits` of them, least significant first
  size_t pitch;       ///< groups from plane to plane
  size_t groups;      ///< multiple of kCountBlock
  int slices;
};

/// The search for the key of one rank.
struct RankSearch {
  Bits* eligible;  ///< one vector a group: rows that agree with the digits found so far
  Bits* key;       ///< result, sliced: one vector a digit of the planes, least significant first
  int digits;      ///< of the rank
  Bits left[kCountDigits + 1];  ///< the rank within the eligible rows, sliced
  Bits bit;                     ///< the digit found last
};

void start_search(RankSearch& search, uint32_t rank, size_t n) {
  search.digits = 0;
  for (; n >> search.digits != 0; ++search.digits)
    search.left[search.digits] = all_bits((rank >> search.digits & 1) != 0);
}

/// What `eligible` lacks or holds when a digit is counted.
enum class Eligible {
  kAll,         ///< every row is, and nothing is stored
  kByAbove,     ///< nothing is stored, and the digit above has been found
  kButByAbove,  ///< all is stored but the digit above
  kStored       ///< all is stored
};

/// Zeros of plane `digit` within the eligible rows, which are brought up to date.
template <Eligible kEligible, bool kFew>
void count_zeros(const Planes& planes, int digit, const RankSearch& search, SlicedCount& count) {
  const Bits* __restrict plane = planes.plane + static_cast<size_t>(digit) * planes.pitch;
  const Bits* __restrict above = plane + planes.pitch;
  Bits* __restrict eligible = search.eligible;
  const Bits bit = search.bit;
  count_vectors<kFew>(
      planes.groups,
      [&](size_t g) {
        if constexpr (kEligible == Eligible::kAll) return ~plane[g];
        if constexpr (kEligible == Eligible::kStored) return eligible[g] & ~plane[g];
        const Bits before = kEligible == Eligible::kByAbove ? all_bits(true) : eligible[g];
        const Bits now = where_equal(before, above[g], bit);
        eligible[g] = now;
        return now & ~plane[g];
      },
      count);
}

/// Stores what agrees with the lowest digit of the planes too, which has been found.
void settle_eligible(const Planes& planes, const RankSearch& search) {
  for (size_t g = 0; g < planes.groups; ++g)
    search.eligible[g] = where_equal(search.eligible[g], planes.plane[g], search.bit);
}

/// One more digit: it is one where the rank lies past the zeros. kDigits as in fold_count().
/// Returns where the rank is that of the last zero.
template <int kDigits>
Bits take_digit(int digit, SlicedCount& zeros, RankSearch& search) {
  Bits rest[kCountDigits + 1];
  Bits borrow = {}, last = all_bits(true);
  const auto subtract = [&](int j) {
    rest[j] = parity(search.left[j], zeros.digit[j], borrow);
    borrow = majority(~search.left[j], zeros.digit[j], borrow);
    last &= rest[j];  // one less than there are
  };
  const auto keep = [&](int j) { search.left[j] = choose(search.bit, rest[j], search.left[j]); };
  if constexpr (kDigits > 0) {
#pragma GCC unroll 16
    for (int j = 0; j < kDigits; ++j) subtract(j);
    search.bit = ~borrow;
#pragma GCC unroll 16
    for (int j = 0; j < kDigits; ++j) keep(j);
  } else {
    const int digits = zeros.digits > search.digits ? zeros.digits : search.digits;
    for (int j = zeros.digits; j < digits; ++j) zeros.digit[j] = Bits{};
    for (int j = search.digits; j < digits; ++j) search.left[j] = Bits{};
    for (int j = 0; j < digits; ++j) subtract(j);
    search.bit = ~borrow;
    for (int j = 0; j < search.digits; ++j) keep(j);
  }
  search.key[digit] = search.bit;
  return last & borrow;
}

/// Where a row of the column has a zero in plane `digit` within the eligible ones, which are
/// brought up to date.
template <int kBits, Eligible kEligible>
Bits any_zero(const Planes& planes, int digit, const RankSearch& search) {
  const Bits* __restrict plane = planes.plane + static_cast<size_t>(digit) * planes.pitch;
  const Bits* __restrict above = plane + planes.pitch;
  Bits* __restrict eligible = search.eligible;
  const Bits bit = search.bit;
  Bits even = {}, odd = {};
  const auto look = [&](size_t g, Bits& any) {
    const Bits before = kEligible == Eligible::kByAbove ? all_bits(true) : eligible[g];
    const Bits now = where_equal(before, above[g], bit);
    eligible[g] = now;
    any = or_without(any, now, plane[g]);
  };
  for (size_t g = 0; g < planes.groups; g += 2) look(g, even), look(g + 1, odd);
  Bits any = even | odd;
  for (int distance = planes.slices; distance < kBits; distance *= 2)
    any |= swap_halves(any, distance);
  return any;
}

/// Counts over the bit positions that belong to the same column.
template <int kBits, int kDigits>
void fold_rows(int slices, SlicedCount& count) {
  if constexpr (kDigits > 0)
    for (int j = count.digits; j < kDigits; ++j) count.digit[j] = Bits{};
  if (slices <= 1) fold_count<1, kDigits>(count);
  if (slices <= 2) fold_count<2, kDigits>(count);
  if (slices <= 4) fold_count<4, kDigits>(count);
  if (kBits > 8 && slices <= 8) fold_count<8, kDigits>(count);
  if (kBits > 16 && slices <= 16) fold_count<16, kDigits>(count);
}

/// Digits of a count of zeros, where they are few: a group holds at most kBits rows.
template <int kBits, bool kFew>
constexpr int kZerosDigits = !kFew ? 0
                                   : kFewDigits + (kBits > 16  ? 5
                                                   : kBits > 8 ? 4
                                                               : 3);

template <int kBits, int kDigits, bool kFresh, bool kFew>
void find_digits_of(const Planes& planes, RankSearch* search, int searches) {
  constexpr int kOfCount = kZerosDigits<kBits, kFew>;
  if constexpr (kFew)
    for (int s = 0; s < searches; ++s)
      for (int j = search[s].digits; j < kOfCount; ++j) search[s].left[j] = Bits{};
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    SlicedCount zeros;
    for (int s = 0; s < searches; ++s) {
      // At the top all rows are eligible, in every search.
      const bool counted = kFresh && digit == kDigits - 1 && s > 0;
      if (!counted) {
        if (digit == kDigits - 1)
          count_zeros<kFresh ? Eligible::kAll : Eligible::kStored, kFew>(planes, digit, search[s],
                                                                         zeros);
        else if (kFresh && digit == kDigits - 2)
          count_zeros<Eligible::kByAbove, kFew>(planes, digit, search[s], zeros);
        else
          count_zeros<Eligible::kButByAbove, kFew>(planes, digit, search[s], zeros);
        fold_rows<kBits, kOfCount>(planes.slices, zeros);
      }
      take_digit<kOfCount>(digit, zeros, search[s]);
    }
  }
}

/// The same of a rank and the next one, of searches that have been started. As long as both agree
/// one count serves them; where the rank is that of the last zero they part, and then the next is
/// the least of what is eligible for it, which wants no count.
template <int kBits, int kDigits, bool kFew>
void find_neighbours_of(const Planes& planes, RankSearch& search, RankSearch& next) {
  constexpr int kOfCount = kZerosDigits<kBits, kFew>;
  if constexpr (kFew)
    for (int j = search.digits; j < kOfCount; ++j) search.left[j] = Bits{};
  Bits apart = {};
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    SlicedCount zeros;
    Bits any = {};
    if (digit == kDigits - 1) {
      count_zeros<Eligible::kAll, kFew>(planes, digit, search, zeros);
    } else if (digit == kDigits - 2) {
      count_zeros<Eligible::kByAbove, kFew>(planes, digit, search, zeros);
      any = any_zero<kBits, Eligible::kByAbove>(planes, digit, next);
    } else {
      count_zeros<Eligible::kButByAbove, kFew>(planes, digit, search, zeros);
      any = any_zero<kBits, Eligible::kButByAbove>(planes, digit, next);
    }
    fold_rows<kBits, kOfCount>(planes.slices, zeros);
    const Bits last = take_digit<kOfCount>(digit, zeros, search);
    next.bit = choose(apart, ~any, search.bit | last);
    next.key[digit] = next.bit;
    apart |= last;
  }
  Bits carry = all_bits(true);
  for (int j = 0; j < next.digits; ++j) {
    next.left[j] = (search.left[j] ^ carry) & ~apart;
    carry &= search.left[j];
  }
}

/// Fills search[s].key for `searches` searches with the kDigits digits of the planes: the first
/// digits of kBits-bit keys where kFresh, of searches that have been started; else those after the
/// digits found before, whose eligible rows are settled. `neighbours`: there are two, of a rank and
/// the next one.
template <int kBits, int kDigits, bool kFresh>
void find_digits(const Planes& planes, RankSearch* search, int searches, bool neighbours = false) {
  const auto find = [&]<bool kFew>() {
    if constexpr (kFresh)
      if (neighbours) return find_neighbours_of<kBits, kDigits, kFew>(planes, search[0], search[1]);
    find_digits_of<kBits, kDigits, kFresh, kFew>(planes, search, searches);
  };
  // With sixteen registers they would only be in each other's way.
  constexpr bool kRegisters = kVectorBytes == 64;
  if (kRegisters && planes.groups < kFewVectors)
    find.template operator()<true>();
  else
    find.template operator()<false>();
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
