// The Gram matrix in f32 (backend.h, estimate_gram): twice the products an instruction takes in
// f64, of panels half as large.
//
// A lane belongs to a column, as in gram_vnni.h: a vector holds one coordinate of several columns
// and meets that coordinate of a row in every lane, so that nothing is summed across lanes and a
// pair's sum is made of chains of fused products in ascending coordinates, whatever the width of
// vectors: the bits of every level that has this are equal. A panel of columns is transposed once
// for all rows it meets and stays in the second cache level; two vectors of it meet all rows of a
// tile before the next two.
#pragma once

#if defined(__AVX2__) && defined(__FMA__)
#define MUSTER_CPU_ESTIMATES 1

#include <immintrin.h>

#include "kernels/cell/network.h"
#include "kernels/cpu/variant/gram_tile.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

#if defined(__AVX512F__)
using FloatLanes = __m512;
constexpr size_t kFloatLanes = 16;
constexpr int kEstimateRows = 12;  ///< 24 sums, 2 columns and a row in 32 registers
MUSTER_CELL FloatLanes load_lanes(const float* values) { return _mm512_load_ps(values); }
MUSTER_CELL void store_lanes(float* values, FloatLanes lanes) { _mm512_store_ps(values, lanes); }
MUSTER_CELL FloatLanes repeat(float value) { return _mm512_set1_ps(value); }
MUSTER_CELL FloatLanes add_product_lanes(FloatLanes a, FloatLanes b, FloatLanes sum) {
  return _mm512_fmadd_ps(a, b, sum);
}
#else
using FloatLanes = __m256;
constexpr size_t kFloatLanes = 8;
constexpr int kEstimateRows = 6;  ///< 12 sums, 2 columns and a row in 16 registers
MUSTER_CELL FloatLanes load_lanes(const float* values) { return _mm256_load_ps(values); }
MUSTER_CELL void store_lanes(float* values, FloatLanes lanes) { _mm256_store_ps(values, lanes); }
MUSTER_CELL FloatLanes repeat(float value) { return _mm256_set1_ps(value); }
MUSTER_CELL FloatLanes add_product_lanes(FloatLanes a, FloatLanes b, FloatLanes sum) {
  return _mm256_fmadd_ps(a, b, sum);
}
#endif

constexpr size_t kEstimateColumns = 2 * kFloatLanes;
constexpr size_t kTransposed = 8;  ///< values transposed at a time, each way
/// Floats between rows: not a power of two, so that rows spread over cache sets.
constexpr size_t kEstimatePitch = canonical::kEstimateDepth + 16;
static_assert(kEstimateTile % kEstimateRows == 0 && kEstimateTile % kEstimateColumns == 0);

struct EstimateTile {
  alignas(64) float rows[kEstimateTile][kEstimatePitch];
  alignas(64) float columns[kEstimateTile / kEstimateColumns][canonical::kEstimateDepth]
                           [kEstimateColumns];
  alignas(64) float untransposed[kEstimateColumns][kEstimatePitch];
};
static_assert(sizeof(EstimateTile) <= kGramScratchBytes);

/// `capacity` rows from `first` on, those past `count` all zeros; zeros up to whole rounds of
/// lanes.
void load_floats(const ChunkView& view, const float* centre, size_t first, size_t count,
                 size_t capacity, Span span, float (*panel)[kEstimatePitch]) {
  for (size_t r = 0; r < capacity; ++r) {
    float* __restrict values = panel[r];
    const size_t filled = r < count ? span.count : 0;
    if (r < count) {
      decode_strip(view, first + r, span.begin, span.count, values);
      if (centre != nullptr)
        for (size_t k = 0; k < filled; ++k) values[k] -= centre[span.begin + k];
    }
    pad_strip(values, filled, canonical::padded(span.count));
  }
}

/// Eight coordinates of eight rows: row r of the target holds coordinate r of all.
MUSTER_CELL void transpose_floats(const float* source, float* target) {
  __m256 v[kTransposed], pairs[kTransposed];
#pragma GCC unroll 8
  for (size_t i = 0; i < 8; ++i) v[i] = _mm256_loadu_ps(source + i * kEstimatePitch);
#pragma GCC unroll 4
  for (size_t i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
#pragma GCC unroll 2
  for (size_t i = 0; i < 8; i += 4) {
    v[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    v[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    v[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    v[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  // v[4 i + j] holds coordinates j and 4 + j of rows 4 i to 4 i + 3.
#pragma GCC unroll 4
  for (size_t j = 0; j < 4; ++j) {
    _mm256_store_ps(target + j * kEstimateColumns, _mm256_permute2f128_ps(v[j], v[4 + j], 0x20));
    _mm256_store_ps(target + (4 + j) * kEstimateColumns,
                    _mm256_permute2f128_ps(v[j], v[4 + j], 0x31));
  }
}

void pack_columns(const ChunkView& view, const float* centre, const GramTile& tile, Span span,
                  EstimateTile* packed) {
  for (size_t j = 0; j < tile.columns; j += kEstimateColumns) {
    load_floats(view, centre, tile.j + j, tile.columns - j, kEstimateColumns, span,
                packed->untransposed);
    float* target = packed->columns[j / kEstimateColumns][0];
    for (size_t k = 0; k < span.count; k += kTransposed)
      for (size_t c = 0; c < kEstimateColumns; c += kTransposed)
        transpose_floats(packed->untransposed[c] + k, target + k * kEstimateColumns + c);
  }
}

/// Adds to products[r * kEstimateColumns + c] the inner product of row r with column c, one chain
/// of it. A function of its own: inside the loop over chains g++ 12 keeps the sums in memory.
template <int... P, int... R>
__attribute__((noinline)) void add_chain(const float* rows, const float* columns, size_t depth,
                                         float* products, cell::Indices<P...>,
                                         cell::Indices<R...>) {
  FloatLanes sum[] = {(static_cast<void>(P), repeat(0))...};
  for (size_t k = 0; k < depth; ++k) {
    const FloatLanes column[] = {load_lanes(columns + k * kEstimateColumns),
                                 load_lanes(columns + k * kEstimateColumns + kFloatLanes)};
    const auto meet = [&](FloatLanes& a, FloatLanes& b, FloatLanes row) {
      a = add_product_lanes(row, column[0], a);
      b = add_product_lanes(row, column[1], b);
    };
    (meet(sum[2 * R], sum[2 * R + 1], repeat(rows[R * kEstimatePitch + k])), ...);
  }
  (store_lanes(products + P * kFloatLanes, load_lanes(products + P * kFloatLanes) + sum[P]), ...);
}

/// Adds the products of a micro kernel at (i, j) of the tile that lie in it and above the diagonal.
void add_estimates(const GramTile& tile, size_t i, size_t j, const float* products) {
  const bool inside = i + kEstimateRows <= tile.rows && j + kEstimateColumns <= tile.columns &&
                      tile.i + i + kEstimateRows <= tile.j + j;
  for (size_t r = 0; r < kEstimateRows && i + r < tile.rows; ++r) {
    const size_t row = tile.i + i + r;
    double* __restrict at = tile.gram + row * tile.n + tile.j + j;
    const float* __restrict from = products + r * kEstimateColumns;
    if (inside) {
      for (size_t c = 0; c < kEstimateColumns; ++c) at[c] += static_cast<double>(from[c]);
      continue;
    }
    for (size_t c = 0; c < kEstimateColumns && j + c < tile.columns; ++c)
      if (tile.j + j + c > row) at[c] += static_cast<double>(from[c]);
  }
}

/// The square of one row, in f64: lanes in ascending order, then folded.
double square_floats(const float* __restrict values, size_t padded) {
  alignas(64) double lanes[canonical::kLanes];
  for (size_t lane = 0; lane < canonical::kLanes; ++lane) {
    double sum = 0;
    size_t k = 0;
    do {  // never empty, and g++ must see it to put lanes side by side
      const double value = static_cast<double>(values[k + lane]);
      sum = cell::add_exact_product(value, value, sum);
      k += canonical::kLanes;
    } while (k < padded);
    lanes[lane] = sum;
  }
  return canonical::fold(lanes);
}

void estimate_tile(const GramTile& tile, Span span, const EstimateTile& packed) {
  constexpr auto kSums = cell::IndicesUpTo<2 * kEstimateRows>::type{};
  constexpr auto kRows = cell::IndicesUpTo<kEstimateRows>::type{};
  for (size_t j = 0; j < tile.columns; j += kEstimateColumns)
    for (size_t i = 0; i < tile.rows && tile.i + i < tile.j + j + kEstimateColumns;
         i += kEstimateRows) {
      alignas(64) float products[kEstimateRows * kEstimateColumns] = {};
      for (size_t k = 0; k < span.count; k += canonical::kEstimateChain)
        add_chain(packed.rows[i] + k, packed.columns[j / kEstimateColumns][k],
                  at_most(span.count - k, canonical::kEstimateChain), products, kSums, kRows);
      add_estimates(tile, i, j, products);
    }
  if (tile.i != tile.j) return;
  for (size_t r = 0; r < tile.rows; ++r)
    tile.gram[(tile.i + r) * (tile.n + 1)] +=
        square_floats(packed.rows[r], canonical::padded(span.count));
}

void estimate_gram(const ChunkView& view, const GramView& job, size_t begin, size_t end,
                   void* scratch) {
  EstimateTile& packed = *static_cast<EstimateTile*>(scratch);
  for (size_t k = 0; k < view.d; k += canonical::kEstimateDepth) {
    const Span span{k, at_most(view.d - k, canonical::kEstimateDepth)};
    GramTiles tiles(view, job, begin, kEstimateTile);
    size_t packed_column = SIZE_MAX;
    for (size_t t = begin; t < end; ++t, tiles.next()) {
      const GramTile tile = tiles.tile();
      if (tile.j != packed_column) pack_columns(view, job.centre, tile, span, &packed);
      packed_column = tile.j;
      load_floats(view, job.centre, tile.i, tile.rows, kEstimateTile, span, packed.rows);
      estimate_tile(tile, span, packed);
    }
  }
  GramTiles tiles(view, job, begin, kEstimateTile);
  for (size_t t = begin; t < end; ++t, tiles.next()) mirror(tiles.tile(), job.rows);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL

#endif
