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
#include "kernels/cpu/variant/panel_ahead.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Consecutive digits of the keys of a tile, as bits.
struct Planes {
  const Bits* plane;  ///< `digits` of them, least significant first
  size_t pitch;       ///< groups from plane to plane
  size_t groups;      ///< multiple of kCountBlock
  int slices;
  PanelAhead* ahead;  ///< asked for during the walks; null: none

  MUSTER_CELL void ask() const {
    if (ahead != nullptr) ahead->ask(kLinesOfBlock);
  }
};

/// The search for the key of one rank.
struct RankSearch {
  Bits* eligible;  ///< one vector a group: rows that agree with the digits found so far
  Bits* key;       ///< result, sliced: one vector a digit of the planes, least significant first
  uint32_t rank;
  int digits;                   ///< of the rank
  Bits left[kCountDigits + 1];  ///< the rank within the eligible rows, sliced
  Bits bit;                     ///< the digit found last
};

void start_search(RankSearch& search, uint32_t rank, size_t n) {
  search.rank = rank;
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

/// The eligible rows of group g, which are brought up to date. `above`: the group in the plane of
/// the digit that was found last; `bit`: that digit.
template <Eligible kEligible>
MUSTER_CELL Bits update_eligible(Bits* __restrict eligible, size_t g, Bits above, Bits bit) {
  if constexpr (kEligible == Eligible::kAll) return all_bits(true);
  if constexpr (kEligible == Eligible::kStored) return eligible[g];
  const Bits before = kEligible == Eligible::kByAbove ? all_bits(true) : eligible[g];
  return eligible[g] = where_equal(before, above, bit);
}

/// Zeros of plane `digit` within the eligible rows of each search. Two searches walk together: what
/// a walk takes is loads and stores.
template <Eligible kEligible, bool kFew, int kSearches>
void count_zeros(const Planes& planes, int digit, const RankSearch* search, SlicedCount* count) {
  // Where registers do not hold two counts, these would only be in each other's way.
  if constexpr (kSearches == 2 && !kFew) {
    count_zeros<kEligible, kFew, 1>(planes, digit, search, count);
    count_zeros<kEligible, kFew, 1>(planes, digit, search + 1, count + 1);
    return;
  }
  const Bits* __restrict plane = planes.plane + static_cast<size_t>(digit) * planes.pitch;
  const Bits* __restrict above = plane + planes.pitch;
  Bits* __restrict const first = search[0].eligible;
  Bits* __restrict const second = search[kSearches - 1].eligible;
  const Bits first_bit = search[0].bit, second_bit = search[kSearches - 1].bit;
  count_vectors<kFew, kSearches>(
      planes.groups,
      [&](size_t g) {
        // Nothing lies above the top plane.
        const Bits ones = plane[g], found = kEligible == Eligible::kAll ? Bits{} : above[g];
        Several<kSearches> zeros;
        zeros.of[0] = without(update_eligible<kEligible>(first, g, found, first_bit), ones);
        if constexpr (kSearches == 2)
          zeros.of[1] = without(update_eligible<kEligible>(second, g, found, second_bit), ones);
        return zeros;
      },
      [&] { planes.ask(); }, count);
}

/// The same of one search, and where a row of the column has a zero within the eligible rows of
/// `next`.
template <int kBits, Eligible kEligible, bool kFew>
Bits count_and_look(const Planes& planes, int digit, const RankSearch& search,
                    const RankSearch& next, SlicedCount& count) {
  const Bits* __restrict plane = planes.plane + static_cast<size_t>(digit) * planes.pitch;
  const Bits* __restrict above = plane + planes.pitch;
  Bits* __restrict const counted = search.eligible;
  Bits* __restrict const looked_at = next.eligible;
  const Bits bit = search.bit, next_bit = next.bit;
  Bits any = {};
  count_vectors<kFew, 1>(
      planes.groups,
      [&](size_t g) {
        const Bits ones = plane[g], found = above[g];
        any = or_without(any, update_eligible<kEligible>(looked_at, g, found, next_bit), ones);
        return Several<1>{without(update_eligible<kEligible>(counted, g, found, bit), ones)};
      },
      [&] { planes.ask(); }, &count);
  for (int distance = planes.slices; distance < kBits; distance *= 2)
    any |= swap_halves(any, distance);
  return any;
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

/// Digits of a count of zeros, where they are few: a group holds at most kBits rows. 0: those in
/// use.
template <int kBits, bool kFew>
constexpr int kZerosDigits = !kFew ? 0
                                   : kFewDigits + (kBits > 16  ? 5
                                                   : kBits > 8 ? 4
                                                               : 3);

/// Counts over the bit positions that belong to the same column; each step may take a digit more.
template <int kBits, bool kFew>
void fold_rows(int slices, SlicedCount& count) {
  if constexpr (kFew)
    for (int j = count.digits; j < kZerosDigits<kBits, kFew>; ++j) count.digit[j] = Bits{};
  constexpr auto digits = [](int step) { return kFew ? kFewDigits + step : 0; };
  if (slices <= 1) fold_count<1, digits(0)>(count);
  if (slices <= 2) fold_count<2, digits(1)>(count);
  if (slices <= 4) fold_count<4, digits(2)>(count);
  if (kBits > 8 && slices <= 8) fold_count<8, digits(3)>(count);
  if (kBits > 16 && slices <= 16) fold_count<16, digits(4)>(count);
}

/// A number for each column where a column is a byte: those of even columns, and those of odd ones.
struct ByByte {
  using Shorts [[gnu::vector_size(kVectorBytes)]] = uint16_t;
  Shorts even, odd;
};

MUSTER_CELL ByByte every_byte(uint32_t number) {
  const ByByte::Shorts all = ByByte::Shorts{} + static_cast<uint16_t>(number);
  return {all, all};
}

/// The sum of a count of few vectors over the bit positions of each byte. Turned back into integers
/// it takes half the operations of fold_rows().
MUSTER_CELL ByByte sum_bytes(const SlicedCount& count) {
  static_assert(kFewDigits == 8);
  Bits at[8];  // those of one position, a byte each
  transpose<8>(count.digit, at, 1);
  ByByte::Shorts pairs = {}, odd = {};
#pragma GCC unroll 8
  for (const Bits& bytes : at) {
    const auto both = reinterpret_cast<ByByte::Shorts>(bytes);
    pairs += both;  // modulo 2^16
    odd += both >> 8;
  }
  return {pairs - (odd << 8), odd};
}

/// As the other take_digit(). `left`: the rank within the eligible rows.
MUSTER_CELL Bits take_digit(int digit, const ByByte& zeros, ByByte& left, RankSearch& search) {
  using Shorts = ByByte::Shorts;
  const auto join = [](auto even, auto odd) {
    return choose(Bits{} + 0x00ff00ffu, reinterpret_cast<Bits>(even), reinterpret_cast<Bits>(odd));
  };
  const Bits last = join(left.even + 1 == zeros.even, left.odd + 1 == zeros.odd);
  const Shorts even = reinterpret_cast<Shorts>(left.even >= zeros.even);
  const Shorts odd = reinterpret_cast<Shorts>(left.odd >= zeros.odd);
  left.even -= zeros.even & even;
  left.odd -= zeros.odd & odd;
  search.key[digit] = search.bit = join(even, odd);
  return last;
}

template <int kBits, int kDigits, bool kFresh, bool kFew, bool kByByte, int kSearches>
void find_digits_of(const Planes& planes, RankSearch* search) {
  constexpr int kOfCount = kZerosDigits<kBits, kFew>;
  [[maybe_unused]] ByByte left[kSearches], sums[kSearches];
  if constexpr (kByByte)
    for (int s = 0; s < kSearches; ++s) left[s] = every_byte(search[s].rank);
  else if constexpr (kFew)
    for (int s = 0; s < kSearches; ++s)
      for (int j = search[s].digits; j < kOfCount; ++j) search[s].left[j] = Bits{};
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    SlicedCount zeros[kSearches];
    // At the top all rows are eligible, in every search.
    const int counted = kFresh && digit == kDigits - 1 ? 1 : kSearches;
    if (kFresh && digit == kDigits - 1)
      count_zeros<Eligible::kAll, kFew, 1>(planes, digit, search, zeros);
    else if (digit == kDigits - 1)
      count_zeros<Eligible::kStored, kFew, kSearches>(planes, digit, search, zeros);
    else if (kFresh && digit == kDigits - 2)
      count_zeros<Eligible::kByAbove, kFew, kSearches>(planes, digit, search, zeros);
    else
      count_zeros<Eligible::kButByAbove, kFew, kSearches>(planes, digit, search, zeros);
    for (int s = 0; s < counted; ++s)
      if constexpr (kByByte)
        sums[s] = sum_bytes(zeros[s]);
      else
        fold_rows<kBits, kFew>(planes.slices, zeros[s]);
    for (int s = 0; s < kSearches; ++s)
      if constexpr (kByByte)
        take_digit(digit, sums[s < counted ? s : 0], left[s], search[s]);
      else
        take_digit<kOfCount>(digit, zeros[s < counted ? s : 0], search[s]);
  }
}

/// The same of a rank and the next one, of searches that have been started. As long as both agree
/// one count serves them; where the rank is that of the last zero they part, and then the next is
/// the least of what is eligible for it, which wants no count.
template <int kBits, int kDigits, bool kFew, bool kByByte>
void find_neighbours_of(const Planes& planes, RankSearch& search, RankSearch& next) {
  constexpr int kOfCount = kZerosDigits<kBits, kFew>;
  [[maybe_unused]] ByByte left = every_byte(search.rank);
  if constexpr (kFew && !kByByte)
    for (int j = search.digits; j < kOfCount; ++j) search.left[j] = Bits{};
  Bits apart = {};
  for (int digit = kDigits - 1; digit >= 0; --digit) {
    SlicedCount zeros;
    Bits any = {};
    if (digit == kDigits - 1) {
      count_zeros<Eligible::kAll, kFew, 1>(planes, digit, &search, &zeros);
    } else if (digit == kDigits - 2) {
      any = count_and_look<kBits, Eligible::kByAbove, kFew>(planes, digit, search, next, zeros);
    } else {
      any = count_and_look<kBits, Eligible::kButByAbove, kFew>(planes, digit, search, next, zeros);
    }
    Bits last;
    if constexpr (kByByte) {
      last = take_digit(digit, sum_bytes(zeros), left, search);
    } else {
      fold_rows<kBits, kFew>(planes.slices, zeros);
      last = take_digit<kOfCount>(digit, zeros, search);
    }
    next.bit = choose(apart, ~any, search.bit | last);
    next.key[digit] = next.bit;
    apart |= last;
  }
  if constexpr (kByByte) return;
  Bits carry = all_bits(true);
  for (int j = 0; j < next.digits; ++j) {
    next.left[j] = (search.left[j] ^ carry) & ~apart;
    carry &= search.left[j];
  }
}

/// Fills search[s].key for `searches` searches, two at most, with the kDigits digits of the planes:
/// the first digits of kBits-bit keys where kFresh, of searches that have been started; else those
/// after the digits found before, whose eligible rows are settled. `neighbours`: there are two, of
/// a rank and the next one.
template <int kBits, int kDigits, bool kFresh>
void find_digits(const Planes& planes, RankSearch* search, int searches, bool neighbours = false) {
  const auto find = [&]<bool kFew, bool kByByte>() {
    if constexpr (kFresh)
      if (neighbours)
        return find_neighbours_of<kBits, kDigits, kFew, kByByte>(planes, search[0], search[1]);
    if (searches == 2)
      find_digits_of<kBits, kDigits, kFresh, kFew, kByByte, 2>(planes, search);
    else if (searches == 1)  // none where nothing is left out
      find_digits_of<kBits, kDigits, kFresh, kFew, kByByte, 1>(planes, search);
  };
  // With sixteen registers they would only be in each other's way.
  constexpr bool kRegisters = kVectorBytes == 64;
  const bool few = kRegisters && planes.groups < kFewVectors;
  if (kBits == 8 && few && planes.slices == 1)
    find.template operator()<true, kBits == 8>();
  else if (few)
    find.template operator()<true, false>();
  else
    find.template operator()<false, false>();
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
