// Rectangles of the Gram matrix, and which of them a range of tiles names (table.h). Kernels fill
// the upper triangle; when a tile is complete it is mirrored.
#pragma once

#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// A rectangle of the Gram matrix.
struct GramTile {
  size_t i, j;           ///< first row, first column
  size_t rows, columns;  ///< at most gram_tile(n), or kEstimateTile
  double* gram;          ///< row-major, n wide
  size_t n;
};

/// Consecutive coordinates.
struct Span {
  size_t begin, count;
};

MUSTER_CELL size_t at_most(size_t count, size_t limit) { return count < limit ? count : limit; }

/// Walks over tiles in the order of their numbers.
class GramTiles {
 public:
  MUSTER_CELL GramTiles(const ChunkView& view, const GramView& job, size_t first)
      : GramTiles(view, job, first, gram_tile(view.n)) {}
  MUSTER_CELL GramTiles(const ChunkView& view, const GramView& job, size_t first, size_t edge)
      : gram_(job.gram), n_(view.n), rows_(job.rows), edge_(edge), i_(first) {
    for (; i_ >= column_tiles(); ++j_) i_ -= column_tiles();
  }
  MUSTER_CELL GramTile tile() const {
    const size_t row = i_ * edge_, column = j_ * edge_;
    return {row, column, at_most(rows_ - row, edge_), at_most(n_ - column, edge_), gram_, n_};
  }
  MUSTER_CELL void next() {
    if (++i_ < column_tiles()) return;
    i_ = 0;
    ++j_;
  }

 private:
  MUSTER_CELL size_t column_tiles() const {
    return gram_tiles_of_column(j_, (rows_ + edge_ - 1) / edge_);
  }

  double* gram_;
  size_t n_, rows_, edge_;
  size_t i_, j_ = 0;
};

/// Adds a micro kernel's kRows x kColumns products at (i, j) of the tile, as far as they lie in it
/// and not below the diagonal.
template <size_t kRows, size_t kColumns>
MUSTER_CELL void add_products(const GramTile& tile, size_t i, size_t j, const double* products) {
  for (size_t r = 0; r < kRows && i + r < tile.rows; ++r)
    for (size_t c = 0; c < kColumns && j + c < tile.columns; ++c) {
      const size_t row = tile.i + i + r, column = tile.j + j + c;
      if (column >= row) tile.gram[row * tile.n + column] += products[r * kColumns + c];
    }
}

/// Copies what lies above the diagonal below it, as far as the matrix has those rows.
void mirror(const GramTile& tile, size_t rows) {
  for (size_t row = tile.i; row < tile.i + tile.rows; ++row) {
    const size_t end = at_most(tile.j + tile.columns, rows);
    for (size_t column = row + 1 > tile.j ? row + 1 : tile.j; column < end; ++column)
      tile.gram[column * tile.n + row] = tile.gram[row * tile.n + column];
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
