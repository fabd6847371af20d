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
  const float* shared_scales;           ///< I8S, I4S: 2^e, one a block
  const std::int8_t* shared_exponents;  ///< I8S, I4S: e
  unsigned bits;                        ///< HSQ: of a code
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
  /// Greatest magnitude of F32 values, as bits; those beyond end the job. UINT32_MAX: not looked
  /// at.
  std::uint32_t most_bits = UINT32_MAX;
};

struct RelateView {
  const std::int64_t* reference;
  double scale;
  double* squared_distances;  ///< row-major [n, blocks], or null
  double* dots;               ///< the same
};

struct MergeView {
  const std::int64_t* sum;
  std::int64_t* target;
  double pull, divisor;
};

struct GridNormView {
  const double* scaled_factors;  ///< factor * 2^grid_bits
  const float* centre;           ///< d values, or null
};

/// Squares of magnitudes h * 2^23 + l, h at most 2^23: hh * 2^46 + hl * 2^24 + ll.
struct SplitSquares {
  std::uint64_t hh, hl, ll;
};

/// NoiseJob of backend.h.
struct NoiseView {
  const std::uint32_t* key;
  std::uint32_t vector;
  int log2_sigma;
  std::int64_t weight;
  std::uint64_t first;
  std::int64_t* target;
};

/// MixStage of backend.h.
struct MixView {
  const std::uint32_t* bounds;
  const std::uint32_t* members;
  std::size_t n;
  bool except;
};

struct WindowView {
  const double* scaled_factors;  ///< factor * 2^grid_bits, one a row of codes
  const MixView* stages;
  std::size_t stage_count;
  std::size_t rows_capacity;  ///< rows a stage has at most, before or after
  std::uint32_t low, high, keep;
  std::int64_t* target;
};

/// One rotation of one row of EDEN codes.
struct EdenView {
  const std::byte* indices;    ///< packed, of the whole chunk
  unsigned bits;               ///< of an index
  std::size_t begin;           ///< first coordinate of the rotation in the chunk
  unsigned log2_length;        ///< of the rotation
  std::size_t count;           ///< coordinates that are no padding
  const float* centroids;      ///< 2^bits
  const std::uint64_t* signs;  ///< base/codec_random.h
  float scale;
};

/// One rotation of a vector of grid sums.
struct UnrotateView {
  const std::int64_t* sums;  ///< 2^log2_length
  unsigned log2_length;
  std::size_t count;  ///< coordinates that are no padding
  const std::uint64_t* signs;
  std::int64_t* target;  ///< `count`
};

/// Counters of codes that share their scales.
struct CountsView {
  unsigned log2_block;
  std::size_t n;  ///< rows counted
  const std::uint32_t* counters;
  const std::int8_t* shared_exponents;
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

/// Columns a network sorts together.
constexpr std::size_t kColumnTile = 64;
/// Columns a window sum sorts together: so many that g++ makes vectors of them before it unrolls.
constexpr std::size_t kWindowColumns = 32;
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
constexpr std::size_t gram_tiles(std::size_t n, std::size_t rows, std::size_t edge) {
  const std::size_t panels = (n + edge - 1) / edge, row_panels = (rows + edge - 1) / edge;
  std::size_t tiles = 0;
  for (std::size_t j = 0; j < panels; ++j) tiles += gram_tiles_of_column(j, row_panels);
  return tiles;
}
/// The same of an estimated matrix: whole micro kernels of every level, both ways.
constexpr std::size_t kEstimateTile = 96;
/// Coordinates of f64 panels held at a time: eight rows of a micro kernel fit the first cache
/// level.
constexpr std::size_t kGramDepth = 512;
/// Doubles between rows of an f64 panel: not a power of two, so that rows spread over cache sets.
constexpr std::size_t kGramPitch = kGramDepth + 8;

// Scratch of one worker, 64-byte aligned.
/// The rows before and after a stage of mixing.
constexpr std::size_t window_scratch_bytes(std::size_t n) {
  return 2 * n * kWindowColumns * sizeof(std::int64_t);
}
/// Two panels of f64 values and the lanes of every pair; two panels of int16 codes need less. Or
/// (AVX-512 with VNNI) a tile of codes, eight rows more, the scales of each run, and room to unpack
/// the codes of 16 rows.
constexpr std::size_t kGramScratchBytes = 752 * 1024;
static_assert(kGramScratchBytes >=
              (2 * kGramPanel * kGramPitch + kGramPanel * kGramPanel * canonical::kLanes) *
                  sizeof(double));
static_assert(kGramScratchBytes >= 2 * kGramPanel * canonical::kBlock * sizeof(std::int16_t));

/// The 16-bit bins of the columns that are counted together.
constexpr std::size_t kCountScratchBytes = 32 * 1024;

/// Every function is a pure function of its arguments and may run on any thread.
struct KernelTable {
  /// Block `block` (canonical.h) of row `row`.
  void (*inspect)(const ChunkView&, float bound, bool norms, std::size_t row, std::size_t block,
                  BlockSummary*);
  /// Coordinates [begin, end).
  void (*accumulate)(const ChunkView&, const AccumulateView&, std::size_t begin, std::size_t end);
  /// Coordinates [begin, end); n < 2^24. `scratch`: kept_sum_scratch bytes, 64-byte aligned.
  /// False where a value is beyond most_bits.
  bool (*kept_sum)(const ChunkView&, const KeptSumView&, std::size_t begin, std::size_t end,
                   void* scratch);
  std::size_t (*kept_sum_scratch)(cell::Coding, std::size_t n, std::size_t d);
  /// Coordinates [begin, end). `scratch`: kCountScratchBytes.
  void (*count)(const ChunkView&, std::uint32_t* counters, std::size_t begin, std::size_t end,
                void* scratch);
  /// Coordinates [begin, end).
  void (*kept_sum_of_counts)(const CountsView&, const KeptSumView&, std::size_t begin,
                             std::size_t end);
  /// Window tiles of kWindowColumns columns [begin, end).
  void (*window_sum)(const ChunkView&, const WindowView&, std::size_t begin, std::size_t end,
                     void* scratch);
  /// Tiles [begin, end), counted down one column panel after the other, and their mirror images.
  void (*gram)(const ChunkView&, const GramView&, std::size_t begin, std::size_t end,
               void* scratch);
  /// The same in f32 (Backend::estimate_gram), tiles of kEstimateTile; null where that is not
  /// faster.
  void (*estimate_gram)(const ChunkView&, const GramView&, std::size_t begin, std::size_t end,
                        void* scratch);
  /// Rows [begin, end).
  void (*sketch)(const ChunkView&, const SketchView&, std::size_t begin, std::size_t end);
  /// sums[p] = squared distance of rows pairs[2 p] and pairs[2 p + 1] over one block, p < count.
  void (*distances)(const ChunkView&, const std::uint32_t* pairs, std::size_t count,
                    std::size_t block, double* sums);
  /// values[k] = scale * sign_k * (H c)_k for k < count, c the centroids, H the Hadamard matrix;
  /// `values` has room for the whole rotation.
  void (*expand_eden)(const EdenView&, float* values);
  /// target[k] = round(sign_k * (H sums)_k / sqrt(length)); `scratch`: a double a coordinate.
  void (*unrotate)(const UnrotateView&, double* scratch);
  /// Coordinates [begin, end).
  void (*sgd)(const StepView&, std::size_t begin, std::size_t end);
  void (*momentum)(const StepView&, std::size_t begin, std::size_t end);
  void (*adam)(const StepView&, std::size_t begin, std::size_t end);
  void (*yogi)(const StepView&, std::size_t begin, std::size_t end);
  void (*adagrad)(const StepView&, std::size_t begin, std::size_t end);
  /// Block `block` of rows [row_begin, row_end) against the reference.
  void (*relate)(const ChunkView&, const RelateView&, std::size_t row_begin, std::size_t row_end,
                 std::size_t block);
  /// Coordinates [begin, end).
  void (*vote)(const ChunkView&, std::int64_t* target, std::size_t begin, std::size_t end);
  void (*merge)(const MergeView&, std::size_t begin, std::size_t end);
  void (*elect)(std::int64_t* target, std::size_t begin, std::size_t end);
  void (*add_noise)(const NoiseView&, std::size_t begin, std::size_t end);
  /// One block of canonical.h of one row.
  void (*grid_norm)(const ChunkView&, const GridNormView&, std::size_t row, std::size_t block,
                    SplitSquares* squares);
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
