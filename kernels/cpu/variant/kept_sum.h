// Trimmed sums by column tile: a sorting network for few rows of floats, the bit-sliced selection
// for many and for codes that share their scales. Exact whatever the values; hostile ones make
// floats take half as long again, and codes no longer at all.
#pragma once

#include "kernels/cpu/variant/boundaries.h"
#include "kernels/cpu/variant/inspect.h"
#include "kernels/cpu/variant/kept_units.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

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

/// sums[c] = rows [first, last) of the column, on the grid.
void sum_rows(const int32_t* __restrict keys, size_t first, size_t last, double grid,
              int64_t* __restrict sums) {
  for (size_t c = 0; c < kColumnTile; ++c) sums[c] = 0;
  for (size_t row = first; row < last; ++row)
    for (size_t c = 0; c < kColumnTile; ++c)
      sums[c] += cell::to_grid(cell::value_of(keys[row * kColumnTile + c]), grid);
}

/// Whether coordinates [begin, end) of F32 rows are within the bound, where the job has one.
/// `greatest`: the upper half of the greatest magnitude in rows [0, seen). It settles most panels;
/// the others, and the other rows, are looked at.
bool within_bound(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
                  uint16_t greatest, size_t seen) {
  if (view.coding != cell::Coding::kF32 || job.most_bits == UINT32_MAX) return true;
  return magnitudes_within(view, greatest < job.most_bits >> 16 ? seen : 0, begin, end,
                           job.most_bits);
}

/// Columns [begin, end) by networks; n <= kNetworkRows.
void sort_and_sum(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
                  int32_t* keys) {
  const size_t rows = network_rows(view.n);
  for (size_t k = begin; k < end; k += kColumnTile) {
    const size_t count = end - k < kColumnTile ? end - k : kColumnTile;
    alignas(64) int64_t sums[kColumnTile];
    load_keys(view, k, count, keys);
    for (size_t i = view.n * kColumnTile; i < rows * kColumnTile; ++i) keys[i] = cell::kKeyPastAll;
    sort_keys(keys, rows, kColumnTile);
    sum_rows(keys, job.low, view.n - job.high, job.grid, sums);
    memcpy(job.target + k, sums, count * sizeof(int64_t));
  }
}

/// Whether |value| is within cell::kTwoStepGrid on the grid for all columns.
template <cell::Coding kCoding, class Stored>
bool all_near(const Stored* stored, double grid) {
  bool near = true;
  for (size_t c = 0; c < kSumColumns; ++c) {
    const double scaled = static_cast<double>(StoredAs<kCoding>::value(stored[c])) * grid;
    near = near && scaled <= cell::kTwoStepGrid && scaled >= -cell::kTwoStepGrid;
  }
  return near;
}

/// The kept sums of `count` columns from `begin` on. `ahead`: as of sum_clamped_near().
template <cell::Coding kCoding, class Rows, class Stored>
void sum_values(const ChunkView& view, const KeptSumView& job, size_t begin, size_t count,
                const Rows& rows, const Boundaries<Stored>& found, size_t ahead) {
  for (size_t k = 0; k < count; k += kSumColumns) {
    const Stored* lowest = found.lowest + k;
    const Stored* highest = found.highest + k;
    alignas(64) uint64_t sums[kSumColumns];
    const bool near = job.low > 0 && job.high > 0 && job.grid_bits >= -cell::kTwoStepBits &&
                      job.grid_bits <= cell::kTwoStepBits && all_near<kCoding>(lowest, job.grid) &&
                      all_near<kCoding>(highest, job.grid);
    if (near)
      sum_clamped_near<kCoding>(rows.from(k), view.n, lowest, highest, job.grid_bits, ahead, sums);
    else
      sum_clamped<kCoding>(rows.from(k), view.n, lowest, highest, job.grid, sums);
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
template <class Rows>
void sum_codes(const ChunkView& view, const KeptSumView& job, size_t begin, size_t count,
               const Rows& rows, const Boundaries<int8_t>& found) {
  const auto n = static_cast<int64_t>(view.n);
  const int64_t low = job.low, high = job.high;
  alignas(64) uint32_t sums[kMaxTileColumns] = {};
  for (size_t k = 0; k < count; k += kVectorBytes)
    add_clamped_codes(rows.from(k), view.n, found.lowest + k, found.highest + k, sums + k);
  for (size_t k = 0; k < count;) {
    const size_t stop = run_end(view, begin + k, begin + count) - begin;
    const CodeShift shift =
        code_shift(view.shared_exponents[(begin + k) >> view.log2_block], job.grid_bits);
    for (; k < stop && shift.right != 0; ++k)
      job.target[begin + k] =
          sum_rounded_codes(rows.from(k), view.n, found.lowest[k], found.highest[k], shift.right) -
          low * cell::shift_even(found.lowest[k], shift.right) -
          high * cell::shift_even(found.highest[k], shift.right);
    for (; k < stop; ++k) {
      const int64_t kept = sums[k] + (n - low) * found.lowest[k] - high * found.highest[k];
      job.target[begin + k] = static_cast<int64_t>(static_cast<uint64_t>(kept) << shift.left);
    }
  }
}

/// The sum of the one or two values that are kept, which are the boundaries themselves: a median.
template <cell::Coding kCoding, class Stored>
void sum_boundaries(const ChunkView& view, const KeptSumView& job, size_t begin, size_t count,
                    const Boundaries<Stored>& found) {
  const int64_t second = view.n - job.low - job.high == 2 ? 1 : 0;
  const auto sum = [&](size_t k, const auto& units) {
    job.target[begin + k] =
        cell::add_weighted(units(found.lowest[k]), second, units(found.highest[k]));
  };
  if constexpr (kCoding == cell::Coding::kI8S) {
    for (size_t k = 0; k < count;) {
      const size_t stop = run_end(view, begin + k, begin + count) - begin;
      const CodeShift shift =
          code_shift(view.shared_exponents[(begin + k) >> view.log2_block], job.grid_bits);
      for (; k < stop; ++k)
        sum(k, [&](Stored x) {
          const int64_t units = cell::shift_even(x, shift.right);
          return static_cast<int64_t>(static_cast<uint64_t>(units) << shift.left);
        });
    }
  } else {
    for (size_t k = 0; k < count; ++k)
      sum(k, [&](Stored x) { return cell::to_grid(StoredAs<kCoding>::value(x), job.grid); });
  }
}

/// Where the parts of a scratch memory begin, in bytes; a panel comes first.
struct SelectionScratch {
  size_t planes, eligible, few_keys, few_words, end;
};
SelectionScratch selection_scratch(const TileShape& shape) {
  SelectionScratch at;
  at.planes = shape.panel_bytes();
  at.eligible = at.planes +
                (shape.panel_tiles * shape.plane_vectors + shape.eligible_offset()) * sizeof(Bits);
  at.few_keys = at.eligible + 2 * shape.eligible_pitch * sizeof(Bits);
  const bool few = shape.key_bits > first_digits(shape.key_bits);
  at.few_words = at.few_keys + (few ? 2 * few_keys(shape) * sizeof(int32_t) : 0);
  at.end = at.few_words + (few ? few_words(shape) * sizeof(uint32_t) : 0);
  return at;
}

/// Panels sliced whole after one whose upper digits were not enough: columns that lie together are
/// alike.
constexpr int kPanelsSlicedWhole = 8;

/// Columns [begin, end) by bit-sliced selection; false where a value is beyond the job's bound.
template <cell::Coding kCoding>
bool select_and_sum(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
                    std::byte* scratch) {
  using Stored = typename StoredAs<kCoding>::Stored;
  const TileShape shape = tile_shape(8 * sizeof(Stored), view.n, view.d);
  const SelectionScratch at = selection_scratch(shape);
  Bits* const panel = reinterpret_cast<Bits*>(scratch);
  Bits* const planes = reinterpret_cast<Bits*>(scratch + at.planes);
  int32_t* const keys = reinterpret_cast<int32_t*>(scratch + at.few_keys);
  uint32_t* const words = reinterpret_cast<uint32_t*>(scratch + at.few_words);
  FewRows few[2] = {{keys, words, {}}, {keys + few_keys(shape), words, {}}};
  PanelAhead ahead;
  const SearchScratch search{reinterpret_cast<Bits*>(scratch + at.eligible), few, &ahead};
  Boundaries<Stored> found;
  for (size_t c = 0; c < kMaxTileColumns; ++c) {
    found.lowest[c] = StoredAs<kCoding>::before_all();
    found.highest[c] = StoredAs<kCoding>::past_all();
  }
  const size_t step = shape.panel_columns();
  const size_t group = shape.key_bits / static_cast<size_t>(shape.slices);
  const size_t full_rows = view.n / group * group;  // those of full groups
  // A median is its boundaries: rows are read again only where few of them are left.
  const bool read_once = job.low > 0 && job.high > 0 && view.n - job.low - job.high <= 2;
  const bool fits = shape.panel_bytes() <= kInPlaceBytes;
  const bool in_place = read_once || fits;
  int sliced_whole = 0;  // panels to come
  for (size_t first = begin; first < end; first += step) {
    const size_t last = end - first < step ? end : first + step;
    const Digits digits = sliced_whole > 0 ? Digits::kAll : Digits::kUpper;
    sliced_whole -= sliced_whole > 0 ? 1 : 0;
    // rows_of(k): the tile at column k. What is not finite has no place in a search.
    const auto sum_tiles = [&](uint16_t greatest, const auto& rows_of) {
      if (!within_bound(view, job, first, last, greatest, full_rows)) return false;
      Bits* sliced = planes;
      for (size_t k = first; k < last; k += shape.columns, sliced += shape.plane_vectors) {
        const size_t count = last - k < shape.columns ? last - k : shape.columns;
        const auto rows = rows_of(k);
        if (!find_boundaries<kCoding>(shape, job, view.n, rows, sliced, digits, search, found))
          sliced_whole = kPanelsSlicedWhole;
        if (read_once)
          sum_boundaries<kCoding>(view, job, k, count, found);
        else if constexpr (kCoding == cell::Coding::kI8S)
          sum_codes(view, job, k, count, rows, found);
        else
          sum_values<kCoding>(view, job, k, count, rows, found, ahead.bytes);
      }
      return true;
    };
    if constexpr (has_wire_vectors(kCoding)) {
      if (last - first == step && in_place) {
        const uint16_t greatest =
            digits == Digits::kAll
                ? slice_in_place<kCoding, Digits::kAll>(view, shape, first, last, planes)
                : slice_in_place<kCoding, Digits::kUpper>(view, shape, first, last, planes);
        // What the cache does not hold beside this panel would be gone when it is wanted.
        ahead = {};
        if (fits && end - last >= step)
          ahead = {view.rows, view.rows + view.n, last * sizeof(Stored), step * sizeof(Stored)};
        if (!sum_tiles(greatest, [&](size_t k) {
              return RowsInPlace<kCoding>{view.rows, view.n, k * sizeof(Stored)};
            }))
          return false;
        continue;
      }
    }
    const uint16_t greatest =
        digits == Digits::kAll
            ? load_panel<kCoding, Digits::kAll>(view, shape, first, last, panel, planes)
            : load_panel<kCoding, Digits::kUpper>(view, shape, first, last, panel, planes);
    if (!sum_tiles(greatest, [&](size_t k) {
          const Bits* tile = panel + (k - first) / shape.columns * shape.tile_vectors;
          return RowsOfPanel<kCoding>{reinterpret_cast<const Stored*>(tile), shape.columns};
        }))
      return false;
  }
  return true;
}

bool kept_sum(const ChunkView& view, const KeptSumView& job, size_t begin, size_t end,
              void* scratch) {
  std::byte* const bytes = static_cast<std::byte*>(scratch);
  if (view.n <= kNetworkRows && view.coding != cell::Coding::kI8S) {
    if (!within_bound(view, job, begin, end, 0, 0)) return false;
    sort_and_sum(view, job, begin, end, static_cast<int32_t*>(scratch));
    return true;
  }
  switch (view.coding) {
    case cell::Coding::kF32:
      return select_and_sum<cell::Coding::kF32>(view, job, begin, end, bytes);
    case cell::Coding::kF16:
      return select_and_sum<cell::Coding::kF16>(view, job, begin, end, bytes);
    case cell::Coding::kBF16:
      return select_and_sum<cell::Coding::kBF16>(view, job, begin, end, bytes);
    case cell::Coding::kI8B:
      return select_and_sum<cell::Coding::kI8B>(view, job, begin, end, bytes);
    case cell::Coding::kI8S:
      return select_and_sum<cell::Coding::kI8S>(view, job, begin, end, bytes);
    case cell::Coding::kI4B:
    case cell::Coding::kI4S:
    case cell::Coding::kSign1:
    case cell::Coding::kHsq:
      return select_and_sum<kPacked>(view, job, begin, end, bytes);
  }
  return false;
}

size_t kept_sum_scratch(cell::Coding coding, size_t n, size_t d) {
  if (n <= kNetworkRows && coding != cell::Coding::kI8S)
    return kNetworkRows * kColumnTile * sizeof(int32_t);
  const bool halves = coding == cell::Coding::kF16 || coding == cell::Coding::kBF16;
  const size_t key_bits = coding == cell::Coding::kI8S ? 8 : halves ? 16 : 32;
  return selection_scratch(tile_shape(key_bits, n, d)).end;
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
