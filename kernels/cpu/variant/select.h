// Order statistics of many rows: binary search for the two boundary keys of each column, counting
// rows below a candidate, then one pass over what lies between. The tile of keys stays in the
// second cache level; 32 passes over it, whatever the values are.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cell/key.h"
#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Columns counted together: one vector of keys at the widest level.
constexpr size_t kCountColumns = 16;

/// below[c] = rows with key < candidate[c], for two candidates a column.
void count_below(const int32_t* __restrict keys, size_t n, const int32_t* __restrict low_candidate,
                 const int32_t* __restrict high_candidate, int32_t* __restrict below_low,
                 int32_t* __restrict below_high) {
  for (size_t c = 0; c < kCountColumns; ++c) {
    const int32_t low = low_candidate[c], high = high_candidate[c];
    int32_t count_low = 0, count_high = 0;
    size_t row = 0;
    do {  // never empty, and g++ must see it to put columns side by side
      const int32_t key = keys[row * kColumnTile + c];
      count_low += key < low ? 1 : 0;
      count_high += key < high ? 1 : 0;
    } while (++row < n);
    below_low[c] = count_low;
    below_high[c] = count_high;
  }
}

/// lowest[c], highest[c] = the keys of rank `low` and `high` (from 0) of each column. A key of rank
/// r is the greatest v with at most r keys below it; found from the top bit down.
void search_ranks(const int32_t* keys, size_t n, uint32_t low, uint32_t high, int32_t* lowest,
                  int32_t* highest) {
  alignas(64) int32_t low_candidate[kCountColumns], high_candidate[kCountColumns];
  alignas(64) int32_t below_low[kCountColumns], below_high[kCountColumns];
  for (size_t c = 0; c < kCountColumns; ++c) lowest[c] = highest[c] = INT32_MIN;
  for (int bit = 31; bit >= 0; --bit) {
    const uint32_t step = uint32_t{1} << bit;
    for (size_t c = 0; c < kCountColumns; ++c) {
      low_candidate[c] = static_cast<int32_t>(static_cast<uint32_t>(lowest[c]) + step);
      high_candidate[c] = static_cast<int32_t>(static_cast<uint32_t>(highest[c]) + step);
    }
    count_below(keys, n, low_candidate, high_candidate, below_low, below_high);
    for (size_t c = 0; c < kCountColumns; ++c) {
      lowest[c] = static_cast<uint32_t>(below_low[c]) <= low ? low_candidate[c] : lowest[c];
      highest[c] = static_cast<uint32_t>(below_high[c]) <= high ? high_candidate[c] : highest[c];
    }
  }
}

/// What one pass learns about the columns once their boundaries are known.
struct Between {
  alignas(64) int64_t sum[kCountColumns];        ///< of the values strictly between, on the grid
  alignas(64) int32_t not_above[kCountColumns];  ///< rows with key <= lowest
  alignas(64) int32_t not_below[kCountColumns];  ///< rows with key >= highest
};

void sum_between(const int32_t* __restrict keys, size_t n, const int32_t* __restrict lowest,
                 const int32_t* __restrict highest, double grid, Between* __restrict between) {
  *between = Between{};
  for (size_t row = 0; row < n; ++row) {
    const int32_t* row_keys = keys + row * kColumnTile;
    for (size_t c = 0; c < kCountColumns; ++c) {
      const int32_t key = row_keys[c];
      between->not_above[c] += key <= lowest[c] ? 1 : 0;
      between->not_below[c] += key >= highest[c] ? 1 : 0;
      const bool inside = key > lowest[c] && key < highest[c];
      between->sum[c] += cell::to_grid(inside ? cell::value_of(key) : 0.0f, grid);
    }
  }
}

/// sums[c] for kCountColumns columns of a tile: the values strictly between the boundaries, and of
/// each boundary value as many as belong to the kept ranks.
void select_columns(const int32_t* keys, size_t n, uint32_t low, uint32_t high, double grid,
                    int64_t* sums) {
  alignas(64) int32_t lowest[kCountColumns], highest[kCountColumns];
  const uint32_t kept = static_cast<uint32_t>(n) - low - high;
  search_ranks(keys, n, low, low + kept - 1, lowest, highest);
  Between between;
  sum_between(keys, n, lowest, highest, grid, &between);
  for (size_t c = 0; c < kCountColumns; ++c) {
    const int64_t at_low = cell::to_grid(cell::value_of(lowest[c]), grid);
    const int64_t at_high = cell::to_grid(cell::value_of(highest[c]), grid);
    const int64_t kept_low = between.not_above[c] - int64_t{low};
    const int64_t kept_high = between.not_below[c] - int64_t{high};
    sums[c] = lowest[c] == highest[c] ? int64_t{kept} * at_low
                                      : between.sum[c] + kept_low * at_low + kept_high * at_high;
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
