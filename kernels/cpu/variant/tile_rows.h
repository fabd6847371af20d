// The coordinates of a tile: where they were sent, or copied to a panel; and their planes.
//
// Rows that hold coordinates as wide as keys are read in place, first to slice them and again to
// sum them, where the second cache level holds a panel of them: copying costs a quarter of the
// whole selection. Others are decoded into a panel, and so are the last columns of a chunk, where a
// vector would be read past the end.
#pragma once

#include <string.h>

#include "kernels/cpu/variant/kept_tile.h"
#include "kernels/cpu/variant/keys.h"
#include "kernels/cpu/variant/panel_ahead.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Codecs that send coordinates as wide as they are Stored.
constexpr bool has_wire_vectors(cell::Coding coding) {
  return coding == cell::Coding::kF32 || coding == cell::Coding::kF16 ||
         coding == cell::Coding::kBF16 || coding == cell::Coding::kI8S;
}

/// Columns of a tile, from one on, in the rows that were sent.
template <cell::Coding kCoding>
struct RowsInPlace {
  using Stored = typename StoredAs<kCoding>::Stored;
  const std::byte* const* rows;
  size_t n;
  size_t begin;  ///< bytes into a row

  MUSTER_CELL RowsInPlace from(size_t column) const {
    return {rows, n, begin + column * sizeof(Stored)};
  }
  MUSTER_CELL const Stored* at(size_t row) const {
    return reinterpret_cast<const Stored*>(rows[row] + begin);
  }
  /// Asks for what lies `ahead` bytes further in the row.
  MUSTER_CELL void ask(size_t row, size_t ahead) const {
    PanelAhead::ask_for(rows[row] + begin + ahead);
  }
  MUSTER_CELL static Stored stored(Stored wire) { return StoredAs<kCoding>::from_wire(wire); }
  MUSTER_CELL static Bits stored(Bits wire) { return StoredAs<kCoding>::from_wire(wire); }

  /// The vectors of a group of the tile, from row `first` on, all of whose rows are there.
  template <int kSlices = 0>
  MUSTER_CELL void full_group(int slices, size_t first, Bits* buffer) const {
    // Straight through: a loop would take as long as all that is done with eight vectors.
#pragma GCC unroll 32
    for (int i = 0; i < kBits; ++i) buffer[i] = vector<kSlices>(slices, first, i);
  }

  /// The same where rows past the last are past all.
  MUSTER_CELL void last_group(int slices, size_t first, Bits* buffer) const {
    Stored past[kVectorBytes / sizeof(Stored)];
    for (Stored& value : past) value = StoredAs<kCoding>::past_all();
    for (int i = 0; i < kBits; ++i)
      if (first + static_cast<size_t>(i / slices) < n)
        buffer[i] = vector<0>(slices, first, i);
      else
        memcpy(&buffer[i], past, sizeof past);
  }

  /// The vectors of group g of the tile. `buffer`: room for them.
  MUSTER_CELL const Bits* group(const TileShape& shape, size_t g, Bits* buffer) const {
    const size_t rows_of_group = kBits / static_cast<size_t>(shape.slices);
    const size_t first = g * rows_of_group;
    if (first + rows_of_group <= n)
      full_group(shape.slices, first, buffer);
    else
      last_group(shape.slices, first, buffer);
    return buffer;
  }

 private:
  static constexpr int kBits = 8 * sizeof(Stored);

  /// Vector i of a group; slices is kSlices, or any power of two where that is 0.
  template <int kSlices>
  MUSTER_CELL Bits vector(int slices, size_t first, int i) const {
    const auto of_row = static_cast<unsigned>(kSlices > 0 ? kSlices : slices);
    const auto at = static_cast<unsigned>(i);
    const size_t row = first + (at >> __builtin_ctz(of_row));
    Bits wire;
    memcpy(&wire, rows[row] + begin + (at & (of_row - 1)) * sizeof wire, sizeof wire);
    return stored(wire);
  }
};

/// The same in a panel: as they are stored, row after row, and past all where a group lacks rows.
template <cell::Coding kCoding>
struct RowsOfPanel {
  using Stored = typename StoredAs<kCoding>::Stored;
  const Stored* tile;
  size_t pitch;

  MUSTER_CELL RowsOfPanel from(size_t column) const { return {tile + column, pitch}; }
  MUSTER_CELL const Stored* at(size_t row) const { return tile + row * pitch; }
  MUSTER_CELL void ask(size_t, size_t) const {}  // what lies further is another row
  MUSTER_CELL static Stored stored(Stored x) { return x; }
  MUSTER_CELL static Bits stored(Bits x) { return x; }
  MUSTER_CELL const Bits* group(const TileShape&, size_t g, Bits*) const {
    return reinterpret_cast<const Bits*>(tile) + g * 8 * sizeof(Stored);
  }
};

/// Which digits of keys become planes.
enum class Digits {
  kUpper,  ///< of 32-bit keys the upper sixteen; of others all
  kLower,  ///< of 32-bit keys the others
  kAll
};

/// Planes of a group, from its coordinates; `planes` begins with the least digit of the key. Of
/// floats, `greatest` becomes the greater of itself and the upper halves of all magnitudes.
template <cell::Coding kCoding, Digits kDigits>
MUSTER_CELL void slice_group(const Bits* __restrict stored, size_t pitch, Bits* __restrict planes,
                             Bits& greatest) {
  constexpr size_t kBits = 8 * sizeof(typename StoredAs<kCoding>::Stored);
  if constexpr (kBits == 32) {
    Bits upper[16];
    for (size_t i = 0; i < 16; ++i) upper[i] = join_upper(stored[i], stored[i + 16]);
    for (size_t i = 0; i < 16 && kDigits != Digits::kLower; ++i)
      greatest = greater_halves(greatest, upper[i] & 0x7fff7fffu);
    if constexpr (kDigits != Digits::kUpper) {
      Bits lower[16];
      for (size_t i = 0; i < 16; ++i)
        lower[i] = StoredAs<kCoding>::lower_keys(join_lower(stored[i], stored[i + 16]), upper[i]);
      transpose<16>(lower, planes, pitch);
    }
    if constexpr (kDigits != Digits::kLower) {
      for (size_t i = 0; i < 16; ++i) upper[i] = StoredAs<kCoding>::upper_keys(upper[i]);
      transpose<16>(upper, planes + 16 * pitch, pitch);
    }
  } else {
    transpose<kBits>(stored, planes, pitch);
    // Of codes the top digit is a sign: one operation here, where it would be one a vector before.
    if constexpr (kCoding == cell::Coding::kI8S) planes[7 * pitch] = ~planes[7 * pitch];
  }
}

/// Groups without rows are past all in each plane.
MUSTER_CELL void end_planes(const TileShape& shape, Bits* planes) {
  for (size_t b = 0; b < shape.key_bits; ++b)
    for (size_t g = shape.row_groups; g < shape.groups; ++g)
      planes[b * shape.plane_pitch + g] = all_bits(true);
}

MUSTER_CELL uint16_t greatest_half(Bits halves) {
  uint16_t each[kVectorBytes / sizeof(uint16_t)], greatest = 0;
  memcpy(each, &halves, sizeof each);
  for (const uint16_t half : each) greatest = half > greatest ? half : greatest;
  return greatest;
}

/// Planes of a panel whose rows are read in place, columns [begin, end), all its tiles whole. A
/// group is sliced as soon as its rows are there: the arithmetic of one hides the wait for the
/// next. kSlices: those of a row, 0 where the compiler need not know.
/// Returns, of floats, the upper half of the greatest magnitude in the groups that are full.
template <cell::Coding kCoding, Digits kDigits, int kSlices>
uint16_t slice_in_place_of(const ChunkView& view, const TileShape& shape, size_t begin, size_t end,
                           Bits* __restrict planes) {
  using Rows = RowsInPlace<kCoding>;
  constexpr size_t kBits = 8 * sizeof(typename Rows::Stored);
  const size_t rows = kBits / static_cast<size_t>(shape.slices);  // of a group
  const size_t full_groups = view.n / rows;
  Bits greatest = {}, ignored = {};
  for (size_t g = 0; g < shape.row_groups; ++g) {
    for (size_t row = g * rows; row < (g + 1) * rows; ++row)
      if (row + kRowsAhead < view.n) prefetch_row(view, kCoding, row + kRowsAhead, begin, end);
    for (size_t tile = 0; tile < shape.panel_tiles; ++tile) {
      const Rows all{view.rows, view.n,
                     (begin + tile * shape.columns) * sizeof(typename Rows::Stored)};
      Bits buffer[kBits];
      if (g < full_groups)
        all.template full_group<kSlices>(shape.slices, g * rows, buffer);
      else
        all.last_group(shape.slices, g * rows, buffer);
      slice_group<kCoding, kDigits>(buffer, shape.plane_pitch,
                                    planes + tile * shape.plane_vectors + g,
                                    g < full_groups ? greatest : ignored);
    }
  }
  for (size_t tile = 0; tile < shape.panel_tiles; ++tile)
    end_planes(shape, planes + tile * shape.plane_vectors);
  return greatest_half(greatest);
}

/// The same, which finds out what the compiler needs to know.
template <cell::Coding kCoding, Digits kDigits>
uint16_t slice_in_place(const ChunkView& view, const TileShape& shape, size_t begin, size_t end,
                        Bits* __restrict planes) {
  const auto slice = [&]<int kSlices>() {
    return slice_in_place_of<kCoding, kDigits, kSlices>(view, shape, begin, end, planes);
  };
  // With eight vectors a group it takes as long to find where they lie as to slice them.
  if constexpr (sizeof(typename StoredAs<kCoding>::Stored) == 1) {
    if (shape.slices == 1) return slice.template operator()<1>();
    if (shape.slices == 2) return slice.template operator()<2>();
    if (shape.slices == 4) return slice.template operator()<4>();
  }
  return slice.template operator()<0>();
}

/// Row `row` of a panel: columns [begin, end), in the tiles that begin at `panel`. Free columns are
/// zero, rows past the last past all.
template <cell::Coding kCoding>
MUSTER_CELL void load_panel_row(const ChunkView& view, const TileShape& shape, size_t begin,
                                size_t end, size_t row, Bits* __restrict panel) {
  using Stored = typename StoredAs<kCoding>::Stored;
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

/// A panel: columns [begin, end) of all rows as consecutive tiles, and their planes; group by
/// group, as above.
template <cell::Coding kCoding, Digits kDigits>
uint16_t load_panel(const ChunkView& view, const TileShape& shape, size_t begin, size_t end,
                    Bits* __restrict panel, Bits* __restrict planes) {
  constexpr size_t kBits = 8 * sizeof(typename StoredAs<kCoding>::Stored);
  const size_t rows = kBits / static_cast<size_t>(shape.slices);  // of a group
  Bits greatest = {}, ignored = {};
  const size_t tiles = (end - begin + shape.columns - 1) / shape.columns;
  for (size_t g = 0; g < shape.row_groups; ++g) {
    for (size_t row = g * rows; row < (g + 1) * rows; ++row) {
      if (row + kRowsAhead < view.n) prefetch_row(view, kCoding, row + kRowsAhead, begin, end);
      load_panel_row<kCoding>(view, shape, begin, end, row, panel);
    }
    for (size_t tile = 0; tile < tiles; ++tile)
      slice_group<kCoding, kDigits>(panel + tile * shape.tile_vectors + g * kBits,
                                    shape.plane_pitch, planes + tile * shape.plane_vectors + g,
                                    (g + 1) * rows <= view.n ? greatest : ignored);
  }
  for (size_t tile = 0; tile < tiles; ++tile)
    end_planes(shape, planes + tile * shape.plane_vectors);
  return greatest_half(greatest);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
