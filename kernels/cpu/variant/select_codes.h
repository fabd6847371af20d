// Order statistics of codes that share their scale: int8 all the way, 8 passes for any number of
// rows, rounded to the grid in integers.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Rows a byte can count.
constexpr size_t kByteRows = 255;

/// below[c] += rows with code < candidate[c], over at most kByteRows rows.
void count_codes_below(const int8_t* __restrict codes, size_t n, const int8_t* __restrict candidate,
                       int32_t* __restrict below) {
  alignas(64) uint8_t counts[kColumnTile];
  for (size_t c = 0; c < kColumnTile; ++c) {
    const int8_t limit = candidate[c];
    uint8_t count = 0;
    size_t row = 0;
    do {  // never empty, and g++ must see it to put columns side by side
      count = static_cast<uint8_t>(count + (codes[row * kColumnTile + c] < limit ? 1 : 0));
    } while (++row < n);
    counts[c] = count;
  }
  for (size_t c = 0; c < kColumnTile; ++c) below[c] += counts[c];
}

/// code[c] = the code of rank `rank` (from 0) of each column.
void search_code_rank(const int8_t* codes, size_t n, uint32_t rank, int8_t* code) {
  alignas(64) int8_t candidate[kColumnTile];
  alignas(64) int32_t below[kColumnTile];
  for (size_t c = 0; c < kColumnTile; ++c) code[c] = INT8_MIN;
  for (int bit = 7; bit >= 0; --bit) {
    for (size_t c = 0; c < kColumnTile; ++c) {
      candidate[c] = static_cast<int8_t>(static_cast<uint8_t>(code[c]) + (1u << bit));
      below[c] = 0;
    }
    for (size_t row = 0; row < n; row += kByteRows)
      count_codes_below(codes + row * kColumnTile, n - row < kByteRows ? n - row : kByteRows,
                        candidate, below);
    for (size_t c = 0; c < kColumnTile; ++c)
      code[c] = static_cast<uint32_t>(below[c]) <= rank ? candidate[c] : code[c];
  }
}

/// What one pass learns about the columns of a tile once their boundaries are known.
struct CodesBetween {
  alignas(64) int64_t sum[kColumnTile];        ///< of the codes strictly between, on the grid
  alignas(64) int32_t not_above[kColumnTile];  ///< rows with code <= lowest
  alignas(64) int32_t not_below[kColumnTile];  ///< rows with code >= highest
};

/// Adds at most kByteRows rows: their counts fit a byte, their sums 16 bits. `shift`: places each
/// column's codes lose on the grid, where kShifted; otherwise the grid is finer than the codes.
template <bool kShifted>
void add_codes_between(const int8_t* __restrict codes, size_t n, const int8_t* __restrict lowest,
                       const int8_t* __restrict highest, const int32_t* __restrict shift,
                       CodesBetween* __restrict between) {
  alignas(64) uint8_t not_above[kColumnTile] = {}, not_below[kColumnTile] = {};
  alignas(64) int16_t sum[kColumnTile] = {};
  for (size_t row = 0; row < n; ++row) {
    const int8_t* row_codes = codes + row * kColumnTile;
    for (size_t c = 0; c < kColumnTile; ++c) {
      const int8_t q = row_codes[c];
      not_above[c] = static_cast<uint8_t>(not_above[c] + (q <= lowest[c] ? 1 : 0));
      not_below[c] = static_cast<uint8_t>(not_below[c] + (q >= highest[c] ? 1 : 0));
    }
    for (size_t c = 0; c < kColumnTile; ++c) {
      const int8_t q = row_codes[c];
      const int8_t above = q > lowest[c] ? q : int8_t{0};
      const int8_t inside = q < highest[c] ? above : int8_t{0};
      sum[c] =
          static_cast<int16_t>(sum[c] + (kShifted ? cell::shift_even(inside, shift[c]) : inside));
    }
  }
  for (size_t c = 0; c < kColumnTile; ++c) {
    between->not_above[c] += not_above[c];
    between->not_below[c] += not_below[c];
    between->sum[c] += sum[c];
  }
}

CodesBetween codes_between(const int8_t* codes, size_t n, const int8_t* lowest,
                           const int8_t* highest, const int32_t* shift) {
  CodesBetween between{};
  int32_t shifts = 0;
  for (size_t c = 0; c < kColumnTile; ++c) shifts |= shift[c];
  for (size_t row = 0; row < n; row += kByteRows) {
    const size_t rows = n - row < kByteRows ? n - row : kByteRows;
    const int8_t* first = codes + row * kColumnTile;
    if (shifts == 0)
      add_codes_between<false>(first, rows, lowest, highest, shift, &between);
    else
      add_codes_between<true>(first, rows, lowest, highest, shift, &between);
  }
  return between;
}

/// How the codes of one column meet the grid: value = q * 2^left, or q * 2^-right rounded.
struct CodeShifts {
  alignas(64) int32_t left[kColumnTile];
  alignas(64) int32_t right[kColumnTile];
};

CodeShifts code_shifts(const ChunkView& view, size_t begin, size_t count, int grid_bits) {
  CodeShifts shifts{};
  for (size_t c = 0; c < count; ++c) {
    const int shift = view.shared_exponents[(begin + c) >> view.log2_block] + grid_bits;
    shifts.left[c] = shift < 0 ? 0 : shift < 63 ? shift : 63;
    shifts.right[c] = shift >= 0 ? 0 : shift > -9 ? -shift : 9;
  }
  return shifts;
}

/// One tile of columns, `count` of them real.
void kept_codes(const ChunkView& view, const KeptSumView& job, size_t begin, size_t count,
                int8_t* codes) {
  for (size_t row = 0; row < view.n; ++row) {
    int8_t* target = codes + row * kColumnTile;
    memcpy(target, view.rows[row] + begin, count);
    memset(target + count, 0, kColumnTile - count);
  }
  const uint32_t kept = static_cast<uint32_t>(view.n) - job.low - job.high;
  alignas(64) int8_t lowest[kColumnTile], highest[kColumnTile];
  search_code_rank(codes, view.n, job.low, lowest);
  search_code_rank(codes, view.n, job.low + kept - 1, highest);
  const CodeShifts shifts = code_shifts(view, begin, count, job.grid_bits);
  const CodesBetween between = codes_between(codes, view.n, lowest, highest, shifts.right);
  for (size_t c = 0; c < count; ++c) {
    const int64_t at_low = cell::shift_even(lowest[c], shifts.right[c]);
    const int64_t at_high = cell::shift_even(highest[c], shifts.right[c]);
    const int64_t kept_low = between.not_above[c] - int64_t{job.low};
    const int64_t kept_high = between.not_below[c] - int64_t{job.high};
    const int64_t units = lowest[c] == highest[c]
                              ? int64_t{kept} * at_low
                              : between.sum[c] + kept_low * at_low + kept_high * at_high;
    job.target[begin + c] = static_cast<int64_t>(static_cast<uint64_t>(units) << shifts.left[c]);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
