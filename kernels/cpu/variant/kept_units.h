// Sums on the grid of coordinates clamped between two boundaries.
//
// With lo and hi the coordinates of the least and greatest kept rank, the kept sum of a column is
//   sum over all rows of clamp(x, lo, hi)  -  low * lo  -  high * hi:
// what is left out counts as one of the boundaries, and is taken away again. Ties need no care.
#pragma once

#include "kernels/cpu/variant/bits.h"
#include "kernels/cpu/variant/keys.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Columns summed side by side: no more than the narrowest tile of 32-bit keys has.
constexpr size_t kSumColumns = kVectorBytes / sizeof(float);
using Floats [[gnu::vector_size(kVectorBytes), gnu::may_alias]] = float;

/// Coordinates of a row, each within its boundaries, as numbers.
template <cell::Coding kCoding, class Rows, class Stored>
MUSTER_CELL Floats clamp_values(const Stored* row, const Stored* lowest, const Stored* highest) {
  Floats x;
  if constexpr (sizeof(Stored) == sizeof(float)) {
    Floats low, high;
    memcpy(&x, row, sizeof x);
    memcpy(&low, lowest, sizeof low);
    memcpy(&high, highest, sizeof high);
    x = x < low ? low : x;
    x = x > high ? high : x;
  } else {
    // A copy in one place: g++ makes no vectors where rows lie anywhere.
    alignas(64) Stored at[kSumColumns];
    alignas(64) float values[kSumColumns];
    memcpy(at, row, sizeof at);
    for (size_t c = 0; c < kSumColumns; ++c) {
      Stored q = Rows::stored(at[c]);
      q = q < lowest[c] ? lowest[c] : q;
      q = q > highest[c] ? highest[c] : q;
      values[c] = StoredAs<kCoding>::value(q);
    }
    memcpy(&x, values, sizeof x);
  }
  return x;
}

/// sums[c] = clamped values of the rows (tile_rows.h) on the grid, modulo 2^64; c < kSumColumns.
template <cell::Coding kCoding, class Rows, class Stored>
void sum_clamped(const Rows& rows, size_t n, const Stored* lowest, const Stored* highest,
                 double grid, uint64_t* __restrict sums) {
  for (size_t c = 0; c < kSumColumns; ++c) sums[c] = 0;
  for (size_t row = 0; row < n; ++row) {
    const Floats values = clamp_values<kCoding, Rows>(rows.at(row), lowest, highest);
    for (size_t c = 0; c < kSumColumns; ++c)
      sums[c] += static_cast<uint64_t>(cell::to_grid(values[c], grid));
  }
}

/// Rows whose coarse, or fine, parts add up in 32 bits, offsets apart.
constexpr size_t kTwoStepRows = 256;
/// Rows asked for ahead: each lies in a page of its own.
constexpr size_t kSumRowsAhead = 32;

/// The same where the boundaries, and so all clamped values, are within cell::kTwoStepGrid: half
/// the lanes of a grid value, and no conversion. Not inline: in the middle of a whole selection the
/// compiler runs out of registers. With each vector it asks for what lies `ahead` bytes further in
/// the row, where the next panel is.
template <cell::Coding kCoding, class Rows, class Stored>
[[gnu::noinline]] void sum_clamped_near(const Rows& rows, size_t n, const Stored* lowest,
                                        const Stored* highest, int grid_bits, size_t ahead,
                                        uint64_t* __restrict sums) {
  const cell::TwoStepGrid offsets = cell::two_step_grid(grid_bits);
  const Floats coarse_offset = Floats{} + offsets.coarse, fine_offset = Floats{} + offsets.fine;
  for (size_t c = 0; c < kSumColumns; ++c) sums[c] = 0;
  for (size_t first = 0; first < n; first += kTwoStepRows) {
    const size_t last = n - first < kTwoStepRows ? n : first + kTwoStepRows;
    Bits coarse = {}, fine = {};
    for (size_t row = first; row < last; ++row) {
      if (row + kSumRowsAhead < n) __builtin_prefetch(rows.at(row + kSumRowsAhead), 0, 3);
      rows.ask(row, ahead);
      Bits steps, rest;
      cell::to_two_step_grid(clamp_values<kCoding, Rows>(rows.at(row), lowest, highest),
                             coarse_offset, fine_offset, steps, rest);
      coarse += steps;
      fine += rest;
    }
    const auto count = static_cast<uint32_t>(last - first);
    coarse -= count * cell::bits_of(offsets.coarse);
    fine -= count * cell::bits_of(offsets.fine);
    for (size_t c = 0; c < kSumColumns; ++c)
      sums[c] += (static_cast<uint64_t>(static_cast<int32_t>(coarse[c])) << 23) +
                 static_cast<uint64_t>(static_cast<int32_t>(fine[c]));
  }
}

/// Bytes that add up within 16 bits, whatever they are.
constexpr size_t kShortBytes = 257;

/// sums[c] += the bytes that of(row) gives for rows [first, last), in steps of kRows, whose sum a
/// byte holds; c < kVectorBytes. Returns the first row that no whole step was left for. Lanes of
/// 16 bits hold two columns: the sum of whole lanes, modulo 2^16, and the sum of the upper columns
/// give both.
template <size_t kRows, class Of>
size_t add_bytes(size_t first, size_t last, const Of& of, uint32_t* __restrict sums) {
  using Shorts [[gnu::vector_size(kVectorBytes), gnu::may_alias]] = uint16_t;
  while (last - first >= kRows) {
    size_t steps = (last - first) / kRows;
    if (steps > kShortBytes) steps = kShortBytes;
    Shorts lanes = {}, uppers = {};
    for (const size_t stop = first + steps * kRows; first < stop; first += kRows) {
      auto bytes = of(first);
      for (size_t i = 1; i < kRows; ++i) bytes += of(first + i);
      const Shorts pair = reinterpret_cast<Shorts>(bytes);
      lanes += pair;
      uppers += pair >> 8;
    }
    alignas(64) uint16_t lane[kVectorBytes / 2], upper[kVectorBytes / 2];
    memcpy(lane, &lanes, sizeof lane);
    memcpy(upper, &uppers, sizeof upper);
    for (size_t c = 0; c < kVectorBytes / 2; ++c) {
      sums[2 * c] += (lane[c] - (uint32_t{upper[c]} << 8)) & 0xffffu;
      sums[2 * c + 1] += upper[c];
    }
  }
  return first;
}

/// sums[c] += what the clamped codes of the rows are above lowest[c]; c < kVectorBytes.
template <class Rows>
void add_clamped_codes(const Rows& rows, size_t n, const int8_t* __restrict lowest,
                       const int8_t* __restrict highest, uint32_t* __restrict sums) {
  using Codes [[gnu::vector_size(kVectorBytes), gnu::may_alias]] = int8_t;
  using Bytes [[gnu::vector_size(kVectorBytes), gnu::may_alias]] = uint8_t;
  const Codes low = *reinterpret_cast<const Codes*>(lowest);
  const Codes high = *reinterpret_cast<const Codes*>(highest);
  const auto above_lowest = [&](size_t row) {
    Bits wire;
    memcpy(&wire, rows.at(row), sizeof wire);
    Codes x = reinterpret_cast<Codes>(Rows::stored(wire));
    x = x < low ? low : x;
    x = x > high ? high : x;
    return reinterpret_cast<Bytes>(x) - reinterpret_cast<Bytes>(low);
  };
  int greatest = 0;
  for (size_t c = 0; c < kVectorBytes; ++c) {
    const int range = highest[c] - lowest[c];
    greatest = range > greatest ? range : greatest;
  }
  size_t row = 0;
  if (greatest < 64)
    row = add_bytes<4>(row, n, above_lowest, sums);
  else if (greatest < 128)
    row = add_bytes<2>(row, n, above_lowest, sums);
  add_bytes<1>(row, n, above_lowest, sums);
}

/// How shared-scale codes of one block meet the grid: value = q * 2^left, or q * 2^-right rounded.
struct CodeShift {
  int32_t left, right;
};
CodeShift code_shift(int exponent, int grid_bits) {
  const int shift = exponent + grid_bits;
  return {shift < 0 ? 0 : shift < 63 ? shift : 63, shift >= 0 ? 0 : shift > -9 ? -shift : 9};
}

/// The sum of clamped codes that lose digits on the grid, each rounded.
template <class Rows>
int64_t sum_rounded_codes(const Rows& rows, size_t n, int8_t lowest, int8_t highest,
                          int32_t right) {
  int64_t total = 0;
  for (size_t row = 0; row < n; ++row) {
    int8_t x = Rows::stored(*rows.at(row));
    x = x < lowest ? lowest : x;
    x = x > highest ? highest : x;
    total += cell::shift_even(x, right);
  }
  return total;
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
