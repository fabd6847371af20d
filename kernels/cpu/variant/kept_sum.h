// Trimmed sums by column tile: a sorting network for up to 64 rows, a search beyond, and a search
// on the codes themselves where all rows share their scales.
#pragma once

#include "kernels/cell/network.h"
#include "kernels/cpu/variant/select.h"
#include "kernels/cpu/variant/select_codes.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kNetworkRows = 64;

/// Keys of a tile, n rows of kColumnTile; columns past `count` hold the key of zero.
void load_keys(const ChunkView& view, size_t begin, size_t count, int32_t* keys) {
  alignas(64) float values[kColumnTile];
  for (size_t row = 0; row < view.n; ++row) {
    decode_strip(view, row, begin, count, values);
    pad_strip(values, count, kColumnTile);
    int32_t* target = keys + row * kColumnTile;
    for (size_t c = 0; c < kColumnTile; ++c) target[c] = cell::key_of(values[c]);
  }
}

template <int... I>
MUSTER_CELL void load_column(const int32_t* keys, int32_t* v, cell::Indices<I...>) {
  ((v[I] = keys[I * kColumnTile]), ...);
}
template <int... I>
MUSTER_CELL void store_column(int32_t* keys, const int32_t* v, cell::Indices<I...>) {
  ((keys[I * kColumnTile] = v[I]), ...);
}

/// Sorts each column of N rows.
template <int N>
void sort_columns(int32_t* keys) {
  for (size_t c = 0; c < kColumnTile; ++c) {
    int32_t v[N];
    load_column(keys + c, v, typename cell::IndicesUpTo<N>::type{});
    cell::sort_network<N>(v);
    store_column(keys + c, v, typename cell::IndicesUpTo<N>::type{});
  }
}

/// Sorts n <= kNetworkRows rows with the next larger network of the ladder.
void sort_tile(int32_t* keys, size_t n) {
  const size_t rows = n <= 8 ? 8 : n <= 16 ? 16 : n <= 32 ? 32 : 64;
  for (size_t k = n * kColumnTile; k < rows * kColumnTile; ++k) keys[k] = cell::kKeyPastAll;
  switch (rows) {
    case 8:
      return sort_columns<8>(keys);
    case 16:
      return sort_columns<16>(keys);
    case 32:
      return sort_columns<32>(keys);
    default:
      return sort_columns<64>(keys);
  }
}

/// sums[c] = rows [first, last) of the column, on the grid.
void sum_rows(const int32_t* __restrict keys, size_t first, size_t last, double grid,
              int64_t* __restrict sums) {
  for (size_t c = 0; c < kColumnTile; ++c) sums[c] = 0;
  for (size_t row = first; row < last; ++row)
    for (size_t c = 0; c < kColumnTile; ++c)
      sums[c] += cell::to_grid(cell::value_of(keys[row * kColumnTile + c]), grid);
}

void kept_sum(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
              void* scratch) {
  for (size_t tile = begin; tile < end; ++tile) {
    const size_t first = tile * kColumnTile;
    const size_t count = view.d - first < kColumnTile ? view.d - first : kColumnTile;
    if (view.coding == cell::Coding::kI8S) {
      kept_codes(view, job, first, count, static_cast<int8_t*>(scratch));
      continue;
    }
    int32_t* keys = static_cast<int32_t*>(scratch);
    alignas(64) int64_t sums[kColumnTile];
    load_keys(view, first, count, keys);
    if (view.n <= kNetworkRows) {
      sort_tile(keys, view.n);
      sum_rows(keys, job.low, view.n - job.high, job.grid, sums);
    } else {
      for (size_t c = 0; c < count; c += kCountColumns)
        select_columns(keys + c, view.n, job.low, job.high, job.grid, sums + c);
    }
    memcpy(job.target + first, sums, count * sizeof(int64_t));
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
