// Inner products of all pairs of rows, canonical block by canonical block: f64 values for float
// codecs or around a centre, codes for integer codecs. Rows are decoded in panels; a panel is
// decoded once and meets every row of the other from the cache.
#pragma once

#include "kernels/cpu/variant/gram_tile.h"
#include "kernels/cpu/variant/gram_vnni.h"
#include "kernels/cpu/variant/micro.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Whether no pair of the micro kernel at (i, j) is in the upper triangle.
MUSTER_CELL bool below_diagonal(const GramTile& tile, size_t i, size_t j) {
  return tile.j + j + kMicroColumns <= tile.i + i;
}

/// Rows of the left panel to decode. On the diagonal it is the right one too, which may be longer.
MUSTER_CELL size_t loaded_rows(const GramTile& tile) {
  return tile.i == tile.j ? tile.columns : tile.rows;
}

/// Rows past the end and coordinates up to whole rounds of lanes are zeros.
void load_values(const ChunkView& view, const float* centre, size_t first, size_t rows, Span span,
                 double* panel) {
  for (size_t r = 0; r < kGramPanel; ++r) {
    double* values = panel + r * kGramPitch;
    const size_t filled = r < rows ? span.count : 0;
    if (r < rows) decode_strip(view, first + r, span.begin, span.count, values);
    if (centre != nullptr)
      for (size_t k = 0; k < filled; ++k) values[k] -= static_cast<double>(centre[span.begin + k]);
    pad_strip(values, filled, canonical::padded(span.count));
  }
}

/// One canonical block, panels of kGramDepth coordinates at a time.
template <bool kExact>
void gram_values(const ChunkView& view, const float* centre, const GramTile& tile, Span block,
                 double* scratch) {
  double* lanes = scratch;
  double* a = lanes + kGramPanel * kGramPanel * canonical::kLanes;
  double* b = tile.i == tile.j ? a : a + kGramPanel * kGramPitch;
  const auto lanes_of = [&](size_t i, size_t j) {
    return lanes + (i * kGramPanel + j * kMicroRows) * canonical::kLanes;
  };
  memset(lanes, 0, kGramPanel * kGramPanel * canonical::kLanes * sizeof(double));
  for (size_t k = 0; k < block.count; k += kGramDepth) {
    const size_t left = block.count - k;
    const Span span{block.begin + k, left < kGramDepth ? left : kGramDepth};
    load_values(view, centre, tile.i, loaded_rows(tile), span, a);
    if (a != b) load_values(view, centre, tile.j, tile.columns, span, b);
    for (size_t i = 0; i < tile.rows; i += kMicroRows)
      for (size_t j = 0; j < tile.columns; j += kMicroColumns)
        if (!below_diagonal(tile, i, j))
          add_values<kExact>(a + i * kGramPitch, b + j * kGramPitch, canonical::padded(span.count),
                             lanes_of(i, j));
  }
  for (size_t i = 0; i < tile.rows; i += kMicroRows)
    for (size_t j = 0; j < tile.columns; j += kMicroColumns) {
      if (below_diagonal(tile, i, j)) continue;
      double products[kMicroPairs];
      for (size_t p = 0; p < kMicroPairs; ++p)
        products[p] = canonical::fold(lanes_of(i, j) + p * canonical::kLanes);
      add_products<kMicroRows, kMicroColumns>(tile, i, j, products);
    }
}

void load_codes(const ChunkView& view, size_t first, size_t rows, Span block, int16_t* panel) {
  alignas(64) int8_t buffer[canonical::kBlock + 1];
  for (size_t r = 0; r < kGramPanel; ++r) {
    int16_t* codes = panel + r * canonical::kBlock;
    const size_t filled = r < rows ? block.count : 0;
    if (r < rows) {
      const int8_t* source =
          code_strip(view, integer_row(view, first + r), block.begin, block.count, buffer);
      for (size_t k = 0; k < filled; ++k) codes[k] = source[k];
    }
    pad_strip(codes, filled, block.count);
  }
}

/// Whether all codes of the block share one scale, in all rows. Their sum is then exact at any
/// grouping, and one long run is much cheaper than many short ones.
bool one_scale(const ChunkView& view, Span block) {
  if (!cell::shares_scales(view.coding)) return false;
  const size_t first = block.begin >> view.log2_block;
  const size_t last = (block.begin + block.count - 1) >> view.log2_block;
  for (size_t b = first + 1; b <= last; ++b)
    if (view.shared_exponents[b] != view.shared_exponents[first]) return false;
  return true;
}

/// Scale of row `row` for coordinate k; rows past the end read as the last (their codes are zeros).
MUSTER_CELL double scale_of(const ChunkView& view, size_t row, size_t k) {
  const size_t real = row < view.n ? row : view.n - 1;
  return static_cast<double>(integer_row(view, real).scales[k >> view.log2_block]);
}

/// Adds codes[p] times both scales of pair p, for the run that holds coordinate k.
MUSTER_CELL void add_scaled(const ChunkView& view, size_t row, size_t column, size_t k,
                            const int32_t* codes, double* products) {
  double scales[kMicroColumns];
  for (size_t c = 0; c < kMicroColumns; ++c) scales[c] = scale_of(view, column + c, k);
  for (size_t r = 0; r < kMicroRows; ++r) {
    const double scale = scale_of(view, row + r, k);
    for (size_t c = 0; c < kMicroColumns; ++c)
      products[r * kMicroColumns + c] +=
          scale * scales[c] * static_cast<double>(codes[r * kMicroColumns + c]);
  }
}

/// One canonical block in integers, run by run.
void gram_codes(const ChunkView& view, const GramTile& tile, Span block, int16_t* scratch) {
  int16_t* a = scratch;
  int16_t* b = tile.i == tile.j ? a : a + kGramPanel * canonical::kBlock;
  load_codes(view, tile.i, loaded_rows(tile), block, a);
  if (a != b) load_codes(view, tile.j, tile.columns, block, b);
  const bool whole = one_scale(view, block);
  const size_t end = block.begin + block.count;
  for (size_t i = 0; i < tile.rows; i += kMicroRows)
    for (size_t j = 0; j < tile.columns; j += kMicroColumns) {
      if (below_diagonal(tile, i, j)) continue;
      double products[kMicroPairs] = {};
      for (size_t k = block.begin; k < end;) {
        const size_t stop = whole ? end : run_end(view, k, end);
        const size_t offset = k - block.begin;
        int32_t codes[kMicroPairs];
        multiply_codes(a + i * canonical::kBlock + offset, b + j * canonical::kBlock + offset,
                       stop - k, codes);
        add_scaled(view, tile.i + i, tile.j + j, k, codes, products);
        k = stop;
      }
      add_products<kMicroRows, kMicroColumns>(tile, i, j, products);
    }
}

/// Calls visit(panel) for the parts of a tile that two panels of rows cover.
template <class Visit>
MUSTER_CELL void for_each_panel(const GramTile& tile, const Visit& visit) {
  for (size_t i = 0; i < tile.rows; i += kGramPanel)
    for (size_t j = 0; j < tile.columns; j += kGramPanel) {
      if (tile.j + j + kGramPanel <= tile.i + i) continue;
      visit(GramTile{tile.i + i, tile.j + j, at_most(tile.rows - i, kGramPanel),
                     at_most(tile.columns - j, kGramPanel), tile.gram, tile.n});
    }
}

void gram_block(const ChunkView& view, const float* centre, const GramTile& tile, Span block,
                void* scratch) {
  for_each_panel(tile, [&](const GramTile& panel) {
    if (centre != nullptr)
      gram_values<false>(view, centre, panel, block, static_cast<double*>(scratch));
    else if (cell::is_integer(view.coding))
      gram_codes(view, panel, block, static_cast<int16_t*>(scratch));
    else
      gram_values<true>(view, centre, panel, block, static_cast<double*>(scratch));
  });
}

#if defined(__AVX512VNNI__)
/// Whether the columns of a matrix are read as they lie (gram_vnni.h).
bool has_few_rows(const ChunkView& view, const GramView& job) {
  if (view.coding != cell::Coding::kI8S || job.centre != nullptr || job.rows > kFewRows)
    return false;
  for (size_t k = 0; k < view.d; k += canonical::kBlock)
    if (!one_scale(view, {k, at_most(view.d - k, canonical::kBlock)})) return false;
  return true;
}
#endif

/// All blocks of tiles [begin, end), in ascending order each.
void gram_of_tiles(const ChunkView& view, const GramView& job, size_t begin, size_t end,
                   void* scratch) {
#if defined(__AVX512VNNI__)
  if (has_few_rows(view, job)) {
    GramTiles tiles(view, job, begin);
    for (size_t tile = begin; tile < end; ++tile, tiles.next())
      for (size_t k = 0; k < view.d; k += kFewBlocks * canonical::kBlock)
        gram_few(view, tiles.tile(), k, at_most(view.d, k + kFewBlocks * canonical::kBlock));
    return;
  }
#endif
  for (size_t k = 0; k < view.d; k += canonical::kBlock) {
    const Span block{k, at_most(view.d - k, canonical::kBlock)};
    GramTiles tiles(view, job, begin);
#if defined(__AVX512VNNI__)
    const bool whole = cell::is_integer(view.coding) && one_scale(view, block);
    if (job.centre == nullptr && packs(view, whole)) {
      gram_packed(view, tiles, end - begin, block, whole, scratch);
      continue;
    }
#endif
    for (size_t tile = begin; tile < end; ++tile, tiles.next())
      gram_block(view, job.centre, tiles.tile(), block, scratch);
  }
}

void gram(const ChunkView& view, const GramView& job, size_t begin, size_t end, void* scratch) {
  gram_of_tiles(view, job, begin, end, scratch);
  GramTiles tiles(view, job, begin);
  for (size_t tile = begin; tile < end; ++tile, tiles.next()) mirror(tiles.tile(), job.rows);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
