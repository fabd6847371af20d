// Sums of a window of each coordinate's sorted grid values: trimmed, or nearest a centre; and the
// mixing of rows that may come before. Everything stays in one tile of kWindowColumns columns.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cell/window.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// tile[row][c] = the rows on the grid, each by its factor; columns past `count` are zero.
void load_grid(const ChunkView& view, const double* scaled_factors, size_t begin, size_t count,
               int64_t* tile) {
  alignas(64) float values[kWindowColumns];
  for (size_t row = 0; row < view.n; ++row) {
    decode_strip(view, row, begin, count, values);
    pad_strip(values, count, kWindowColumns);
    int64_t* target = tile + row * kWindowColumns;
    for (size_t c = 0; c < kWindowColumns; ++c)
      target[c] = cell::to_grid(values[c], scaled_factors[row]);
  }
}

void add_row(int64_t* __restrict sums, const int64_t* __restrict row) {
  for (size_t c = 0; c < kWindowColumns; ++c) sums[c] += row[c];
}
void take_row(int64_t* __restrict sums, const int64_t* __restrict row) {
  for (size_t c = 0; c < kWindowColumns; ++c) sums[c] -= row[c];
}

/// target = the means, rounded to the grid, of the rows of `tile` that the stage lists.
void mix_rows(const MixView& stage, const int64_t* tile, size_t n, int64_t* target) {
  alignas(64) int64_t all[kWindowColumns] = {};
  if (stage.except)
    for (size_t row = 0; row < n; ++row) add_row(all, tile + row * kWindowColumns);
  for (size_t row = 0; row < stage.n; ++row) {
    int64_t* sums = target + row * kWindowColumns;
    memcpy(sums, all, sizeof all);
    const size_t listed = stage.bounds[row + 1] - stage.bounds[row];
    for (size_t m = stage.bounds[row]; m < stage.bounds[row + 1]; ++m) {
      const int64_t* member = tile + stage.members[m] * kWindowColumns;
      stage.except ? take_row(sums, member) : add_row(sums, member);
    }
    const int64_t divisor = static_cast<int64_t>(stage.except ? n - listed : listed);
    const double reciprocal = 1.0 / static_cast<double>(divisor);
    for (size_t c = 0; c < kWindowColumns; ++c)
      sums[c] = cell::divide_even(sums[c], divisor, reciprocal);
  }
}

MUSTER_CELL void order_rows(int64_t* __restrict a, int64_t* __restrict b) {
  for (size_t c = 0; c < kWindowColumns; ++c) {
    const int64_t low = cell::smaller(a[c], b[c]);
    b[c] = cell::larger(a[c], b[c]);
    a[c] = low;
  }
}

/// Sorts each column of n rows upwards (Batcher 1968, odd-even merge): whole rows are compared, so
/// that columns are lanes and the time does not depend on the values.
void sort_rows(int64_t* tile, size_t n) {
  for (size_t p = 1; p < n; p *= 2)
    for (size_t k = p; k >= 1; k /= 2)
      for (size_t j = k % p; j + k < n; j += 2 * k)
        for (size_t i = 0; i < k && i + j + k < n; ++i)
          if (((i + j) ^ (i + j + k)) < 2 * p)  // in the same run of 2p rows
            order_rows(tile + (i + j) * kWindowColumns, tile + (i + j + k) * kWindowColumns);
}

/// What the window of one column is worth: values nearer than `reach`, and the fair share of those
/// just as far.
struct WindowCounts {
  alignas(64) int64_t near_sum[kWindowColumns];
  alignas(64) int64_t near[kWindowColumns];
  alignas(64) int64_t tie_sum[kWindowColumns];
  alignas(64) int64_t ties[kWindowColumns];
};

void sum_nearest(const int64_t* __restrict tile, size_t n, const int64_t* __restrict centre,
                 int64_t centre_count, uint32_t keep, int64_t* __restrict sums) {
  alignas(64) int64_t reach[kWindowColumns];
  for (size_t c = 0; c < kWindowColumns; ++c) reach[c] = INT64_MAX;
  for (size_t row = 0; row + keep <= n; ++row) {
    const int64_t* first = tile + row * kWindowColumns;
    const int64_t* last = first + (keep - 1) * kWindowColumns;
    for (size_t c = 0; c < kWindowColumns; ++c)
      reach[c] =
          cell::smaller(reach[c], cell::scaled_reach(first[c], last[c], centre[c], centre_count));
  }
  WindowCounts counts = {};
  for (size_t row = 0; row < n; ++row) {
    const int64_t* values = tile + row * kWindowColumns;
    for (size_t c = 0; c < kWindowColumns; ++c) {
      const int64_t distance = cell::scaled_distance(values[c], centre[c], centre_count);
      const int64_t near = -int64_t{distance < reach[c]}, tied = -int64_t{distance == reach[c]};
      counts.near_sum[c] += values[c] & near;  // masks: g++ makes branches of conditions here
      counts.near[c] -= near;
      counts.tie_sum[c] += values[c] & tied;
      counts.ties[c] -= tied;
    }
  }
  for (size_t c = 0; c < kWindowColumns; ++c) {
    const int64_t places = int64_t{keep} - counts.near[c];
    const int64_t tied = places == counts.ties[c]
                             ? counts.tie_sum[c]
                             : cell::split_ties(places, counts.tie_sum[c], counts.ties[c]);
    sums[c] = counts.near_sum[c] + tied;
  }
}

void window_sum(const ChunkView& view, const WindowView& job, size_t begin, size_t end,
                void* scratch) {
  for (size_t tile = begin; tile < end; ++tile) {
    const size_t first = tile * kWindowColumns;
    const size_t count = view.d - first < kWindowColumns ? view.d - first : kWindowColumns;
    int64_t* rows = static_cast<int64_t*>(scratch);
    int64_t* spare = rows + job.rows_capacity * kWindowColumns;
    size_t n = view.n;
    load_grid(view, job.scaled_factors, first, count, rows);
    for (size_t s = 0; s < job.stage_count; ++s) {
      mix_rows(job.stages[s], rows, n, spare);
      n = job.stages[s].n;
      int64_t* mixed = spare;
      spare = rows;
      rows = mixed;
    }
    sort_rows(rows, n);
    alignas(64) int64_t sums[kWindowColumns] = {};
    for (size_t row = job.low; row < n - job.high; ++row)
      add_row(sums, rows + row * kWindowColumns);
    if (job.keep > 0) {
      alignas(64) int64_t centre[kWindowColumns];
      memcpy(centre, sums, sizeof centre);
      sum_nearest(rows, n, centre, static_cast<int64_t>(n - job.low - job.high), job.keep, sums);
    }
    memcpy(job.target + first, sums, count * sizeof(int64_t));
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
