// Histograms of shared-scale codes, and kept sums from them: the state of a coordinate does not
// grow with the cohort.
#pragma once

#include "kernels/cpu/variant/kept_tile.h"
#include "kernels/cpu/variant/kept_units.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Columns counted together: their 16-bit bins stay in the first cache level.
constexpr size_t kCountColumns = kCountScratchBytes / (256 * sizeof(uint16_t));
/// Rows that 16-bit bins can count.
constexpr size_t kCountRows = 65'535;

/// Counts columns [begin, begin + count) of at most kCountRows rows into kBins bins each, and adds
/// them to the counters.
template <cell::Coding kCoding, size_t kBins>
void count_columns(const ChunkView& view, size_t first_row, size_t last_row, size_t begin,
                   size_t count, uint16_t* __restrict bins, uint32_t* __restrict counters) {
  memset(bins, 0, count * kBins * sizeof(uint16_t));
  alignas(64) int8_t codes[kCountColumns] = {};
  for (size_t row = first_row; row < last_row; ++row) {
    if (row + kRowsAhead < last_row)
      prefetch_row(view, kCoding, row + kRowsAhead, begin, begin + count);
    load_row<kCoding>(view, row, begin, count, codes);
    for (size_t c = 0; c < count; ++c) ++bins[c * kBins + static_cast<size_t>(codes[c] + 128)];
  }
  for (size_t k = 0; k < count * kBins; ++k) counters[k] += bins[k];
}

void count(const ChunkView& view, uint32_t* counters, size_t begin, size_t end, void* scratch) {
  constexpr size_t kBins = 256;
  for (size_t row = 0; row < view.n; row += kCountRows) {
    const size_t last_row = view.n - row < kCountRows ? view.n : row + kCountRows;
    for (size_t k = begin; k < end; k += kCountColumns)
      count_columns<cell::Coding::kI8S, kBins>(
          view, row, last_row, k, end - k < kCountColumns ? end - k : kCountColumns,
          static_cast<uint16_t*>(scratch), counters + k * kBins);
  }
}

/// Sum of the ranks low .. last - 1 of one column, in ascending order of bins.
template <size_t kBins>
int64_t kept_of_bins(const uint32_t* counters, int64_t low, int64_t last, const int32_t* units) {
  int64_t rank = 0, sum = 0, before = low;  // `before`: ranks of lower bins, within [low, last]
  for (size_t b = 0; b < kBins; ++b) {
    rank += counters[b];
    int64_t kept = rank < low ? low : rank;
    kept = kept > last ? last : kept;
    sum += (kept - before) * units[b];
    before = kept;
  }
  return sum;
}

void kept_sum_of_counts(const CountsView& view, const KeptSumView& job, size_t begin, size_t end) {
  constexpr size_t kBins = 256;
  const auto last = static_cast<int64_t>(view.n - job.high);
  int32_t units[kBins];  // of the block's codes
  for (size_t k = begin; k < end;) {
    const size_t block = k >> view.log2_block;
    const CodeShift shift = code_shift(view.shared_exponents[block], job.grid_bits);
    for (size_t b = 0; b < kBins; ++b)
      units[b] = cell::shift_even(static_cast<int32_t>(b) - 128, shift.right);
    const size_t next = (block + 1) << view.log2_block;
    for (const size_t stop = next < end ? next : end; k < stop; ++k) {
      const int64_t sum = kept_of_bins<kBins>(view.counters + k * kBins, job.low, last, units);
      job.target[k] = static_cast<int64_t>(static_cast<uint64_t>(sum) << shift.left);
    }
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
