// What one instruction-set level offers the CPU backend: a table of plain functions on plain
// pointers. variant.cc is compiled once a level and fills one table; it sees this header, the cells
// and C headers, nothing that could leave an inline function of the wrong instruction set behind.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/canonical.h"
#include "kernels/cell/decode.h"
#include "kernels/cell/step.h"

namespace muster::kernels {

/// Codes (backend.h) without the library types.
struct ChunkView {
  cell::Coding coding;
  unsigned log2_block;
  std::size_t d;
  std::size_t n;
  const std::byte* const* rows;
  const float* shared_scales;           ///< I8S: 2^e, one a block
  const std::int8_t* shared_exponents;  ///< I8S: e
};

struct BlockSummary {
  double squared_norm;
  std::uint32_t non_finite;
  std::uint32_t out_of_bound;
};

struct AccumulateView {
  const double* scaled_factors;  ///< factor * 2^grid_bits
  const std::int64_t* weights;
  std::int64_t* target;
};

struct KeptSumView {
  std::uint32_t low, high;
  int grid_bits;
  double grid;  ///< 2^grid_bits
  std::int64_t* target;
};

struct GramView {
  const float* centre;  ///< d values, or null
  double* gram;         ///< rows x n
  std::size_t rows;     ///< the first rows of the matrix: all n, or fewer
};

struct SketchView {
  std::size_t cells;
  const std::uint64_t* signs;
  const std::uint32_t* places;
  float scale;  ///< 2^unit_bits
  std::int64_t* target;
};

struct StepView {
  const std::int64_t* sum;
  float* model;
  float* first;
  float* second;
  cell::StepRates rates;
};

/// Columns a kept sum sorts together: a cache line of int8 codes.
constexpr std::size_t kColumnTile = 64;
/// Rows decoded together on the way to the Gram matrix.
constexpr std::size_t kGramPanel = 32;
/// A tile of the Gram matrix, what one worker takes at a time, is this wide and high: a multiple of
/// kGramPanel. Wide, because a panel of columns is packed once for all rows it meets; narrower for
/// small cohorts, so that there are tiles for several workers.
constexpr std::size_t gram_tile(std::size_t n) { return n >= 512 ? 128 : n >= 128 ? 64 : 32; }
/// Tiles of column panel `j`: those at and above the diagonal, within the rows asked for.
constexpr std::size_t gram_tiles_of_column(std::size_t j, std::size_t row_panels) {
  return j + 1 < row_panels ? j + 1 : row_panels;
}
constexpr std::size_t gram_tiles(std::size_t n, std::size_t rows) {
  const std::size_t edge = gram_tile(n);
  const std::size_t panels = (n + edge - 1) / edge, row_panels = (rows + edge - 1) / edge;
  std::size_t tiles = 0;
  for (std::size_t j = 0; j < panels; ++j) tiles += gram_tiles_of_column(j, row_panels);
  return tiles;
}
/// Coordinates of f64 panels held at a time: eight rows of a micro kernel fit the first cache
/// level.
constexpr std::size_t kGramDepth = 512;
/// Doubles between rows of an f64 panel: not a power of two, so that rows spread over cache sets.
constexpr std::size_t kGramPitch = kGramDepth + 8;

/// Scratch of one worker, 64-byte aligned.
constexpr std::size_t kept_sum_scratch_bytes(std::size_t n) {
  return (n < 64 ? 64 : n) * kColumnTile * sizeof(std::int32_t);
}
/// Two panels of f64 values and the lanes of every pair; two panels of int16 codes need less. Or
/// (AVX-512 with VNNI) a tile of codes, eight rows more, and the scales of each run.
constexpr std::size_t kGramScratchBytes = 704 * 1024;
static_assert(kGramScratchBytes >=
              (2 * kGramPanel * kGramPitch + kGramPanel * kGramPanel * canonical::kLanes) *
                  sizeof(double));
static_assert(kGramScratchBytes >= 2 * kGramPanel * canonical::kBlock * sizeof(std::int16_t));

/// Every function is a pure function of its arguments and may run on any thread.
struct KernelTable {
  /// Block `block` (canonical.h) of row `row`.
  void (*inspect)(const ChunkView&, float bound, std::size_t row, std::size_t block, BlockSummary*);
  /// Coordinates [begin, end).
  void (*accumulate)(const ChunkView&, const AccumulateView&, std::size_t begin, std::size_t end);
  /// Column tiles [begin, end).
  void (*kept_sum)(const ChunkView&, const KeptSumView&, std::size_t begin, std::size_t end,
                   void* scratch);
  /// Tiles [begin, end), counted down one column panel after the other, and their mirror images.
  void (*gram)(const ChunkView&, const GramView&, std::size_t begin, std::size_t end,
               void* scratch);
  /// Squared distance of rows i and j over one block.
  double (*distance)(const ChunkView&, std::size_t i, std::size_t j, std::size_t block);
  /// Rows [begin, end).
  void (*sketch)(const ChunkView&, const SketchView&, std::size_t begin, std::size_t end);
  /// Coordinates [begin, end).
  void (*sgd)(const StepView&, std::size_t begin, std::size_t end);
  void (*momentum)(const StepView&, std::size_t begin, std::size_t end);
  void (*adam)(const StepView&, std::size_t begin, std::size_t end);
};

// One a level; x86-64-v2, v3 and v4, or the compiler's default on other processors.
namespace baseline {
extern const KernelTable kTable;
}
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
/// x86-64-v4 with VNNI: what level avx512 means on processors that have it.
namespace avx512vnni {
extern const KernelTable kTable;
}

}  // namespace muster::kernels
