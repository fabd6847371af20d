// The shape of a tile that the bit-sliced selection works on, and its scratch.
#pragma once

#include "kernels/cpu/table.h"
#include "kernels/cpu/variant/count_bits.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// A tile is 8 * kVectorBytes coordinates wide where every row is a group (select.h), half as wide
/// where two rows are, and so on down to one vector: what the walk touches for one digit (the sets
/// of both ranks and two planes) should stay in the first cache level.
constexpr size_t kWalkBytes = 40 * 1024;
constexpr size_t kMaxTileColumns = 8 * kVectorBytes;
/// Rows are read in pieces of several tiles, as memory takes as long to give a short piece as a
/// long one: kPieceBytes, while the coordinates of all rows stay within kPanelBytes.
constexpr size_t kPieceBytes = 256;
constexpr size_t kPanelBytes = 4 * 1024 * 1024;
/// Rows of a panel that are read twice are read in place where they take no more: later they would
/// be read from memory again, and from a different page each.
constexpr size_t kInPlaceBytes = 512 * 1024;
/// Then pieces may be a little longer.
constexpr size_t kInPlacePieceBytes = 320;

/// A load waits for an earlier store under way whose address has the same last twelve bits: planes
/// and sets of eligible rows lie so that a walk comes to such an address late.
constexpr size_t kPageVectors = 4096 / kVectorBytes;

/// `count`, or as much more as makes whole multiples of `of`.
constexpr size_t in_whole(size_t count, size_t of) { return (count + of - 1) / of * of; }

/// The first digits of a key: all but the lower half of 32, which is seldom needed (few_rows.h).
constexpr size_t first_digits(size_t key_bits) { return key_bits < 16 ? key_bits : 16; }

struct TileShape {
  size_t key_bits;
  int slices;             ///< vectors of a row
  size_t columns;         ///< keys of a row
  size_t row_groups;      ///< groups that hold rows
  size_t groups;          ///< the same, in whole blocks of kCountBlock
  size_t plane_pitch;     ///< from plane to plane, one past a page: they spread over cache sets
  size_t tile_vectors;    ///< coordinates of a tile
  size_t plane_vectors;   ///< planes of a tile, in whole pages
  size_t eligible_pitch;  ///< from one set of eligible rows to the other, half a page past one
  size_t panel_tiles;     ///< tiles loaded together

  /// From a whole page past the planes to the first set of eligible rows.
  size_t eligible_offset() const { return key_bits + kPageVectors / 4 - 1; }
  size_t panel_columns() const { return panel_tiles * columns; }
  size_t panel_bytes() const { return panel_tiles * tile_vectors * kVectorBytes; }
};

TileShape tile_shape(size_t key_bits, size_t n, size_t d) {
  size_t rows = 1;  // of a group
  while (rows < key_bits &&
         (n / rows * 4 * kVectorBytes > kWalkBytes || kMaxTileColumns / rows >= 2 * d))
    rows *= 2;
  TileShape shape;
  shape.key_bits = key_bits;
  shape.slices = static_cast<int>(key_bits / rows);
  shape.columns = kMaxTileColumns / rows;
  shape.row_groups = (n + rows - 1) / rows;
  shape.groups = in_whole(shape.row_groups, kCountBlock);
  const size_t paged_groups = in_whole(shape.groups, kPageVectors);
  shape.plane_pitch = paged_groups + 1;
  shape.eligible_pitch = paged_groups + kPageVectors / 2;
  shape.tile_vectors = shape.row_groups * key_bits;
  shape.plane_vectors = in_whole(shape.plane_pitch * key_bits, kPageVectors);
  shape.panel_tiles = 1;
  const size_t row_bytes = shape.columns * key_bits / 8;
  const auto fit = [&](size_t tiles) {
    const bool in_place = tiles * shape.tile_vectors * kVectorBytes <= kInPlaceBytes;
    return tiles * row_bytes <= (in_place ? kInPlacePieceBytes : kPieceBytes) &&
           tiles * (shape.tile_vectors + shape.plane_vectors) * kVectorBytes <= kPanelBytes;
  };
  while (fit(shape.panel_tiles + 1) && shape.panel_tiles * shape.columns < d) ++shape.panel_tiles;
  return shape;
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
