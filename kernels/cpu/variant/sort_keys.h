// Sorting networks over the columns of a tile of few rows.
#pragma once

#include "kernels/cell/key.h"
#include "kernels/cell/network.h"
#include "kernels/cpu/table.h"
#include "kernels/cpu/variant/bits.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Rows of the widest network.
constexpr size_t kNetworkRows = 64;
/// Columns a network sorts at a time.
constexpr size_t kNetworkColumns = kVectorBytes / sizeof(int32_t);

template <int... I>
MUSTER_CELL void load_column(const int32_t* keys, int32_t* v, cell::Indices<I...>) {
  ((v[I] = keys[I * kColumnTile]), ...);
}
template <int... I>
MUSTER_CELL void store_column(int32_t* keys, const int32_t* v, cell::Indices<I...>) {
  ((keys[I * kColumnTile] = v[I]), ...);
}

/// Sorts the first `columns` columns of N rows, kColumnTile apart.
template <int N>
void sort_columns(int32_t* keys, size_t columns) {
  for (size_t k = 0; k < columns; k += kNetworkColumns)
    for (size_t c = k; c < k + kNetworkColumns; ++c) {
      int32_t v[N];
      load_column(keys + c, v, typename cell::IndicesUpTo<N>::type{});
      cell::sort_network<N>(v);
      store_column(keys + c, v, typename cell::IndicesUpTo<N>::type{});
    }
}

/// Rows of the network that n <= kNetworkRows rows are sorted with.
MUSTER_CELL size_t network_rows(size_t n) { return n <= 8 ? 8 : n <= 16 ? 16 : n <= 32 ? 32 : 64; }

/// Sorts each of the first `columns` columns, a multiple of kNetworkColumns, of `rows` rows,
/// kColumnTile apart; `rows` is some network_rows().
void sort_keys(int32_t* keys, size_t rows, size_t columns) {
  switch (rows) {
    case 8:
      return sort_columns<8>(keys, columns);
    case 16:
      return sort_columns<16>(keys, columns);
    case 32:
      return sort_columns<32>(keys, columns);
    default:
      return sort_columns<64>(keys, columns);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
