// Trimmed sums by column tile: a sorting network for few rows of floats, the bit-sliced selection
// for many and for codes that share their scales. Exact, and equal in time, whatever the values.
#pragma once

#include "kernels/cell/network.h"
#include "kernels/cpu/variant/kept_tile.h"
#include "kernels/cpu/variant/kept_units.h"
#include "kernels/cpu/variant/select.h"

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

/// Columns [begin, end) by networks; n <= kNetworkRows.
void sort_and_sum(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
                  int32_t* keys) {
  for (size_t k = begin; k < end; k += kColumnTile) {
    const size_t count = end - k < kColumnTile ? end - k : kColumnTile;
    alignas(64) int64_t sums[kColumnTile];
    load_keys(view, k, count, keys);
    sort_tile(keys, view.n);
    sum_rows(keys, job.low, view.n - job.high, job.grid, sums);
    memcpy(job.target + k, sums, count * sizeof(int64_t));
  }
}

/// The least and greatest kept coordinate of each column of a tile. A side where nothing is left
/// out has none.
template <class Stored>
struct Boundaries {
  alignas(64) Stored lowest[kMaxTileColumns];
  alignas(64) Stored highest[kMaxTileColumns];
};

/// stored[c] = what the sliced keys of the columns stand for.
template <cell::Coding kCoding, class Stored>
void unslice_keys(const Bits* sliced, size_t columns, Stored* stored) {
  using Key = typename StoredAs<kCoding>::Key;
  Bits bits[8 * sizeof(Key)];
  transpose<8 * sizeof(Key)>(sliced, bits, 1);
  Key keys[kMaxTileColumns];
  memcpy(keys, bits, sizeof keys);
  for (size_t c = 0; c < columns; ++c) stored[c] = StoredAs<kCoding>::stored(keys[c]);
}

/// The rows of the next panel, asked for a few at a time while this one is searched: memory works
/// while arithmetic does.
struct NextPanel {
  const ChunkView& view;
  cell::Coding coding;
  size_t begin, end;  ///< columns
  size_t at_once;     ///< rows
  size_t row = 0;

  MUSTER_CELL void operator()() {
    for (size_t i = 0; i < at_once && row < view.n; ++i)
      prefetch_row(view, coding, row++, begin, end);
  }
};

/// Rows to ask for at once, so that all have been asked for when the tiles of a panel are searched;
/// none where they would push each other out of the cache.
size_t rows_at_once(const TileShape& shape, const KeptSumView& job, size_t key_bits, size_t n) {
  const size_t vectors = shape.scratch_vectors() + shape.panel_tiles * shape.tile_vectors;
  const size_t searches = (job.low > 0 ? 1u : 0u) + (job.high > 0 ? 1u : 0u);
  const size_t calls = shape.panel_tiles * (key_bits - 1) * searches * shape.groups / kCountBlock;
  return calls == 0 || vectors * kVectorBytes > kAheadBytes ? 0 : (n + calls - 1) / calls;
}

template <cell::Coding kCoding, class Stored>
void find_boundaries(const TileShape& shape, const KeptSumView& job, size_t n, const Bits* planes,
                     Bits* eligible, NextPanel& next, Boundaries<Stored>& found) {
  constexpr int kBits = 8 * sizeof(Stored);
  const uint32_t last = static_cast<uint32_t>(n) - job.high - 1;
  const bool same = job.low > 0 && last == job.low;
  Bits key[2][kBits];
  RankSearch search[2];
  int searches = 0;
  const auto start = [&](uint32_t rank) {
    search[searches].eligible = eligible + static_cast<size_t>(searches) * shape.groups;
    search[searches].key = key[searches];
    start_search(search[searches++], rank, n);
  };
  if (job.low > 0) start(job.low);
  if (job.high > 0 && !same) start(last);
  find_keys<kBits>({planes, shape.plane_pitch, shape.groups, shape.slices}, search, searches, next);
  if (job.low > 0) unslice_keys<kCoding>(key[0], shape.columns, found.lowest);
  if (job.high > 0) unslice_keys<kCoding>(key[searches - 1], shape.columns, found.highest);
}

/// Whether |value| is within cell::kNearGrid on the grid for all columns.
template <cell::Coding kCoding, class Stored>
bool all_near(const Stored* stored, double grid) {
  bool near = true;
  for (size_t c = 0; c < kSumColumns; ++c) {
    const double scaled = static_cast<double>(StoredAs<kCoding>::value(stored[c])) * grid;
    near = near && scaled <= cell::kNearGrid && scaled >= -cell::kNearGrid;
  }
  return near;
}

/// The kept sums of `count` columns from `begin` on.
template <cell::Coding kCoding, class Stored>
void sum_values(const ChunkView& view, const KeptSumView& job, size_t begin, size_t count,
                const Stored* rows, size_t pitch, Boundaries<Stored>& found) {
  for (size_t k = 0; k < count; k += kSumColumns) {
    const Stored* lowest = found.lowest + k;
    const Stored* highest = found.highest + k;
    alignas(64) uint64_t sums[kSumColumns];
    const bool near = job.low > 0 && job.high > 0 && all_near<kCoding>(lowest, job.grid) &&
                      all_near<kCoding>(highest, job.grid);
    if (near)
      sum_clamped<kCoding, true>(rows + k, view.n, pitch, lowest, highest, job.grid, sums);
    else
      sum_clamped<kCoding, false>(rows + k, view.n, pitch, lowest, highest, job.grid, sums);
    const auto units = [&](Stored x) {
      return static_cast<uint64_t>(cell::to_grid(StoredAs<kCoding>::value(x), job.grid));
    };
    for (size_t c = 0; c < kSumColumns && k + c < count; ++c) {
      uint64_t sum = sums[c];
      if (job.low > 0) sum -= job.low * units(lowest[c]);
      if (job.high > 0) sum -= job.high * units(highest[c]);
      job.target[begin + k + c] = static_cast<int64_t>(sum);
    }
  }
}

/// The same for shared scales: one column after the other where codes lose digits on the grid.
void sum_codes(const ChunkView& view, const KeptSumView& job, size_t begin, size_t count,
               const uint8_t* rows, size_t pitch, const Boundaries<uint8_t>& found) {
  const auto n = static_cast<int64_t>(view.n);
  const int64_t low = job.low, high = job.high;
  alignas(64) uint32_t sums[kMaxTileColumns] = {};
  for (size_t k = 0; k < count; k += kVectorBytes)
    add_clamped_bytes(rows + k, view.n, pitch, found.lowest + k, found.highest + k, sums + k);
  for (size_t k = 0; k < count;) {
    const size_t stop = run_end(view, begin + k, begin + count) - begin;
    const CodeShift shift =
        code_shift(view.shared_exponents[(begin + k) >> view.log2_block], job.grid_bits);
    for (; k < stop && shift.right != 0; ++k)
      job.target[begin + k] = sum_rounded_codes(rows + k, view.n, pitch, found.lowest[k],
                                                found.highest[k], shift.right) -
                              low * cell::shift_even(code_of(found.lowest[k]), shift.right) -
                              high * cell::shift_even(code_of(found.highest[k]), shift.right);
    for (; k < stop; ++k) {
      const int64_t kept = int64_t{sums[k]} - 128 * n - low * code_of(found.lowest[k]) -
                           high * code_of(found.highest[k]);
      job.target[begin + k] = static_cast<int64_t>(static_cast<uint64_t>(kept) << shift.left);
    }
  }
}

/// Codecs that send coordinates as wide as they are Stored.
constexpr bool has_wire_vectors(cell::Coding coding) {
  return coding == cell::Coding::kF32 || coding == cell::Coding::kF16 ||
         coding == cell::Coding::kBF16 || coding == cell::Coding::kI8S;
}

/// One row of a whole panel, from `source` on; `target`: its place in the first tile.
template <cell::Coding kCoding>
MUSTER_CELL void load_wire_row(const std::byte* source, const TileShape& shape, Bits* target) {
  for (size_t tile = 0; tile < shape.panel_tiles; ++tile, target += shape.tile_vectors)
    for (int i = 0; i < shape.slices; ++i, source += sizeof(Bits)) {
      Bits wire;
      memcpy(&wire, source, sizeof wire);
      target[i] = StoredAs<kCoding>::from_wire(wire);
    }
}

/// Row `row` of a panel: columns [begin, end), in the tiles that begin at `panel`. Free columns are
/// zero, rows past the last past all.
template <cell::Coding kCoding>
MUSTER_CELL void load_panel_row(const ChunkView& view, const TileShape& shape, size_t begin,
                                size_t end, size_t row, Bits* __restrict panel) {
  using Stored = typename StoredAs<kCoding>::Stored;
  if constexpr (has_wire_vectors(kCoding)) {
    if (row < view.n && end - begin == shape.panel_tiles * shape.columns) {
      load_wire_row<kCoding>(view.rows[row] + begin * sizeof(Stored), shape,
                             panel + row * static_cast<size_t>(shape.slices));
      return;
    }
  }
  Bits* tile = panel;
  for (size_t k = begin; k < end; k += shape.columns, tile += shape.tile_vectors) {
    const size_t count = end - k < shape.columns ? end - k : shape.columns;
    Stored* stored = reinterpret_cast<Stored*>(tile) + row * shape.columns;
    if (row < view.n)
      load_row<kCoding>(view, row, k, count, stored);
    else
      for (size_t c = 0; c < count; ++c) stored[c] = StoredAs<kCoding>::past_all();
    for (size_t c = count; c < shape.columns; ++c) stored[c] = 0;
  }
}

/// The planes of a group of a tile.
template <cell::Coding kCoding>
void slice_group(const TileShape& shape, const Bits* __restrict stored, Bits* __restrict planes) {
  constexpr size_t kBits = 8 * sizeof(typename StoredAs<kCoding>::Stored);
  Bits keys[kBits];
  for (size_t i = 0; i < kBits; ++i) keys[i] = StoredAs<kCoding>::keys(stored[i]);
  transpose<kBits>(keys, planes, shape.plane_pitch);
}

/// A panel: columns [begin, end) of all rows as consecutive tiles, and their planes. A group is
/// sliced as soon as its rows are there: the arithmetic of one hides the wait for the next. Groups
/// without rows are past all.
template <cell::Coding kCoding>
void load_panel(const ChunkView& view, const TileShape& shape, size_t begin, size_t end,
                Bits* __restrict panel, Bits* __restrict planes) {
  constexpr size_t kBits = 8 * sizeof(typename StoredAs<kCoding>::Stored);
  const size_t rows = kBits / static_cast<size_t>(shape.slices);  // of a group
  const size_t tiles = (end - begin + shape.columns - 1) / shape.columns;
  for (size_t g = 0; g < shape.row_groups; ++g) {
    for (size_t row = g * rows; row < (g + 1) * rows; ++row) {
      if (row + kRowsAhead < view.n) prefetch_row(view, kCoding, row + kRowsAhead, begin, end);
      load_panel_row<kCoding>(view, shape, begin, end, row, panel);
    }
    for (size_t tile = 0; tile < tiles; ++tile)
      slice_group<kCoding>(shape, panel + tile * shape.tile_vectors + g * kBits,
                           planes + tile * shape.plane_vectors + g);
  }
  for (size_t b = 0; b < kBits * tiles; ++b)
    for (size_t g = shape.row_groups; g < shape.groups; ++g)
      planes[b * shape.plane_pitch + g] = all_bits(true);
}

/// Columns [begin, end) by bit-sliced selection.
template <cell::Coding kCoding>
void select_and_sum(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
                    Bits* scratch) {
  using Stored = typename StoredAs<kCoding>::Stored;
  const TileShape shape = tile_shape(8 * sizeof(Stored), view.n, view.d);
  Bits* const panel = scratch;
  Bits* const planes = panel + shape.panel_tiles * shape.tile_vectors;
  Bits* const eligible = planes + shape.panel_tiles * shape.plane_vectors;
  Boundaries<Stored> found;
  for (size_t c = 0; c < kMaxTileColumns; ++c) {
    found.lowest[c] = StoredAs<kCoding>::before_all();
    found.highest[c] = StoredAs<kCoding>::past_all();
  }
  const size_t step = shape.panel_tiles * shape.columns;
  const size_t at_once = rows_at_once(shape, job, 8 * sizeof(Stored), view.n);
  for (size_t first = begin; first < end; first += step) {
    const size_t last = end - first < step ? end : first + step;
    load_panel<kCoding>(view, shape, first, last, panel, planes);
    NextPanel next{view, kCoding, last, end - last < step ? end : last + step,
                   last < end ? at_once : 0};
    const Bits *tile = panel, *sliced = planes;
    for (size_t k = first; k < last;
         k += shape.columns, tile += shape.tile_vectors, sliced += shape.plane_vectors) {
      const size_t count = last - k < shape.columns ? last - k : shape.columns;
      const Stored* rows = reinterpret_cast<const Stored*>(tile);
      find_boundaries<kCoding>(shape, job, view.n, sliced, eligible, next, found);
      if constexpr (kCoding == cell::Coding::kI8S)
        sum_codes(view, job, k, count, rows, shape.columns, found);
      else
        sum_values<kCoding>(view, job, k, count, rows, shape.columns, found);
    }
  }
}

void kept_sum(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
              void* scratch) {
  Bits* const bits = static_cast<Bits*>(scratch);
  if (view.n <= kNetworkRows && view.coding != cell::Coding::kI8S)
    return sort_and_sum(view, job, begin, end, static_cast<int32_t*>(scratch));
  switch (view.coding) {
    case cell::Coding::kF32:
      return select_and_sum<cell::Coding::kF32>(view, job, begin, end, bits);
    case cell::Coding::kF16:
      return select_and_sum<cell::Coding::kF16>(view, job, begin, end, bits);
    case cell::Coding::kBF16:
      return select_and_sum<cell::Coding::kBF16>(view, job, begin, end, bits);
    case cell::Coding::kI8B:
      return select_and_sum<cell::Coding::kI8B>(view, job, begin, end, bits);
    case cell::Coding::kI8S:
      return select_and_sum<cell::Coding::kI8S>(view, job, begin, end, bits);
    case cell::Coding::kI4B:
    case cell::Coding::kI4S:
    case cell::Coding::kSign1:
    case cell::Coding::kHsq:
      return select_and_sum<kPacked>(view, job, begin, end, bits);
  }
}

size_t kept_sum_scratch(cell::Coding coding, size_t n, size_t d) {
  if (n <= kNetworkRows && coding != cell::Coding::kI8S)
    return kNetworkRows * kColumnTile * sizeof(int32_t);
  const bool halves = coding == cell::Coding::kF16 || coding == cell::Coding::kBF16;
  const size_t key_bits = coding == cell::Coding::kI8S ? 8 : halves ? 16 : 32;
  return tile_shape(key_bits, n, d).scratch_vectors() * sizeof(Bits);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
