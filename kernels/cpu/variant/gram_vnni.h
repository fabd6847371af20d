// Integer Gram on VNNI (vpdpbusd: 64 products of u8 by i8, four to a lane): exact sums of codes,
// eight rows by 32 columns at a time.
//
// A lane belongs to a column: a vector holds four coordinates of 16 columns, and meets four
// coordinates of a row in every lane, so nothing is ever summed across lanes. Columns enter as u8,
// q + 128; what that adds, 128 times the sum of the row's codes, is known from packing and taken
// off. A panel of columns is packed once for all rows it meets; eight rows at a time stay in the
// first cache level while the panel streams past from the second. Sums fit i32: 4096 coordinates of
// at most 255 * 128.
#pragma once

#if defined(__AVX512VNNI__)

#include <immintrin.h>

#include "kernels/cell/network.h"
#include "kernels/cpu/variant/gram_tile.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kPackedRows = 8;
constexpr size_t kPackedLanes = 16;  ///< columns of a vector
constexpr size_t kPackedColumns = 2 * kPackedLanes;
constexpr size_t kPackedStep = 4;       ///< coordinates of a lane
constexpr size_t kLeastPackedRun = 32;  ///< below, scaling would cost more than multiplying
constexpr size_t kMostPackedRuns = canonical::kBlock / kLeastPackedRun;
/// Bytes between packed rows: not a power of two, so that rows spread over cache sets.
constexpr size_t kPackedPitch = canonical::kBlock + 64;

/// Rows, zeros past their end.
struct PackedRows {
  alignas(64) int8_t codes[kPackedRows][kPackedPitch];
  double scales[kMostPackedRuns][kPackedRows];
  int32_t excess[kMostPackedRuns][kPackedRows];  ///< 128 * sum of the codes of the run
};
/// Columns of one vector, step by step.
struct PackedLanes {
  alignas(64) uint8_t codes[canonical::kBlock / kPackedStep][kPackedLanes * kPackedStep];
  double scales[kMostPackedRuns][kPackedLanes];
};
struct PackedTile {
  PackedRows rows;
  alignas(64) int8_t unpacked[kPackedLanes][kPackedPitch];  ///< codes that come packed
  PackedLanes columns[gram_tile(SIZE_MAX) / kPackedLanes];
};
static_assert(sizeof(PackedTile) <= kGramScratchBytes);

/// How a block falls into runs of equal scale.
struct PackedRuns {
  size_t length;
  size_t count;
};

/// Whether the runs of a block are long enough.
bool packs(const ChunkView& view, bool whole_block) {
  return cell::is_integer(view.coding) &&
         (whole_block || (size_t{1} << view.log2_block) >= kLeastPackedRun);
}

PackedRuns packed_runs(const ChunkView& view, Span block, bool whole_block) {
  if (whole_block) return {canonical::kBlock, 1};
  const size_t length = at_most(size_t{1} << view.log2_block, canonical::kBlock);
  return {length, (block.count + length - 1) / length};
}

MUSTER_CELL double run_scale(const ChunkView& view, const IntegerRow& row, Span block,
                             PackedRuns runs, size_t run) {
  return static_cast<double>(row.scales[(block.begin + run * runs.length) >> view.log2_block]);
}

/// `count` codes, at most 64; zeros after them.
MUSTER_CELL __m512i masked_codes(const int8_t* codes, size_t count) {
  return _mm512_maskz_loadu_epi8(count >= 64 ? ~0ull : (1ull << count) - 1, codes);
}

/// Adds the products of four u8 by four i8 to each lane. Not the intrinsic: g++ 12 keeps a copy of
/// every sum beside it, runs out of registers and takes twice the time.
MUSTER_CELL void add_code_products(__m512i& sum, __m512i bytes, __m512i codes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(codes));
}

/// Rows [first, first + kPackedRows) of the chunk; those from `end` on are zeros.
void pack_rows(const ChunkView& view, size_t first, size_t end, Span block, PackedRuns runs,
               PackedRows* packed) {
  const __m512i ones = _mm512_set1_epi8(1);
  alignas(64) int8_t unpacked[canonical::kBlock + 1];
  for (size_t r = 0; r < kPackedRows; ++r) {
    const bool real = first + r < end;
    const IntegerRow row = integer_row(view, real ? first + r : first);
    const int8_t* source = code_strip(view, row, block.begin, block.count, unpacked);
    int8_t* codes = packed->codes[r];
    for (size_t run = 0; run < runs.count; ++run) {
      const size_t stop = at_most((run + 1) * runs.length, block.count);
      size_t k = run * runs.length;
      __m512i sum = _mm512_setzero_si512();
      const auto move = [&](__m512i moved) {
        _mm512_storeu_si512(codes + k, moved);
        add_code_products(sum, ones, moved);
      };
      if (real)
        for (; k + 64 <= stop; k += 64) move(_mm512_loadu_si512(source + k));
      // Zeros after the last codes; where another run follows, it is written over them.
      for (; k < stop; k += 64)
        move(real ? masked_codes(source + k, stop - k) : _mm512_setzero_si512());
      packed->excess[run][r] = 128 * _mm512_reduce_add_epi32(sum);
      packed->scales[run][r] = run_scale(view, row, block, runs, run);
    }
  }
}

/// Turns 16 vectors of 16 words: word j of vector i becomes word i of vector j.
MUSTER_CELL void transpose_words(__m512i* v) {
  __m512i pairs[kPackedLanes];
#pragma GCC unroll 8
  for (size_t i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  // v[4 i + j] holds, in quarter q, word 4 q + j of rows 4 i .. 4 i + 3.
#pragma GCC unroll 4
  for (size_t j = 0; j < 4; ++j) {
    const __m512i low01 = _mm512_shuffle_i32x4(v[j], v[4 + j], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(v[j], v[4 + j], 0xee);
    const __m512i low23 = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0xee);
    pairs[j] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    pairs[4 + j] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    pairs[8 + j] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    pairs[12 + j] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) v[i] = pairs[i];
}

/// Rows [first, first + kPackedLanes) of the chunk, as columns; those from `end` on are the first.
void pack_lanes(const ChunkView& view, size_t first, size_t end, Span block, PackedRuns runs,
                int8_t (*unpacked)[kPackedPitch], PackedLanes* packed) {
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(0x80));
  const int8_t* codes[kPackedLanes];
  for (size_t lane = 0; lane < kPackedLanes; ++lane) {
    const IntegerRow row = integer_row(view, first + lane < end ? first + lane : first);
    codes[lane] = code_strip(view, row, block.begin, block.count, unpacked[lane]);
    for (size_t run = 0; run < runs.count; ++run)
      packed->scales[run][lane] = run_scale(view, row, block, runs, run);
  }
  for (size_t k = 0; k < block.count; k += 64) {
    __m512i v[kPackedLanes];
#pragma GCC unroll 16
    for (size_t lane = 0; lane < kPackedLanes; ++lane)
      v[lane] = _mm512_xor_si512(masked_codes(codes[lane] + k, block.count - k), flips);
    transpose_words(v);
#pragma GCC unroll 16
    for (size_t step = 0; step < 16; ++step)
      _mm512_store_si512(packed->codes[k / kPackedStep + step], v[step]);
  }
}

/// sums[2 r + v]: inner products of row r with the columns of vector v, over `steps` steps from
/// coordinate k on.
template <int... P, int... R>
MUSTER_CELL void multiply_packed(const PackedRows& rows, const PackedLanes* columns, size_t k,
                                 size_t steps, __m512i* sums, cell::Indices<P...>,
                                 cell::Indices<R...>) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i sum[] = {(static_cast<void>(P), zero)...};
  const size_t first = k / kPackedStep;
  for (size_t step = 0; step < steps; ++step) {
    const __m512i column[] = {_mm512_load_si512(columns[0].codes[first + step]),
                              _mm512_load_si512(columns[1].codes[first + step])};
    const auto row = [&](int r) {
      int32_t word;
      memcpy(&word, rows.codes[r] + k + step * kPackedStep, sizeof word);
      return _mm512_set1_epi32(word);
    };
    const auto meet = [&](__m512i& a, __m512i& b, __m512i codes) {
      add_code_products(a, column[0], codes);
      add_code_products(b, column[1], codes);
    };
    (meet(sum[2 * R], sum[2 * R + 1], row(R)), ...);
  }
  ((sums[P] = sum[P]), ...);
}

/// The products of a block: runs scaled, rounded once and added in ascending order from +0.
void packed_products(const PackedRows& rows, const PackedLanes* columns, Span block,
                     PackedRuns runs, double* products) {
  for (size_t p = 0; p < kPackedRows * kPackedColumns; ++p) products[p] = 0;
  for (size_t run = 0; run < runs.count; ++run) {
    const size_t begin = run * runs.length;
    const size_t count = at_most(runs.length, block.count - begin);
    __m512i sums[2 * kPackedRows];
    multiply_packed(rows, columns, begin, (count + kPackedStep - 1) / kPackedStep, sums,
                    cell::IndicesUpTo<2 * kPackedRows>::type{},
                    cell::IndicesUpTo<kPackedRows>::type{});
    for (size_t r = 0; r < kPackedRows; ++r) {
      const __m512i excess = _mm512_set1_epi32(rows.excess[run][r]);
      const __m512d row_scale = _mm512_set1_pd(rows.scales[run][r]);
      const auto add = [&](__m256i codes, const double* column_scales, double* at) {
        const __m512d scales = _mm512_mul_pd(row_scale, _mm512_loadu_pd(column_scales));
        const __m512d scaled = _mm512_mul_pd(scales, _mm512_cvtepi32_pd(codes));
        _mm512_storeu_pd(at, _mm512_add_pd(_mm512_loadu_pd(at), scaled));
      };
      for (size_t v = 0; v < 2; ++v) {
        const __m512i codes = _mm512_sub_epi32(sums[2 * r + v], excess);
        double* at = products + r * kPackedColumns + v * kPackedLanes;
        add(_mm512_castsi512_si256(codes), columns[v].scales[run], at);
        add(_mm512_extracti64x4_epi64(codes, 1), columns[v].scales[run] + 8, at + 8);
      }
    }
  }
}

/// The packed rows, at i of the tile, against all its packed columns.
void multiply_rows(const GramTile& tile, size_t i, Span block, PackedRuns runs,
                   const PackedTile& packed) {
  alignas(64) double products[kPackedRows * kPackedColumns];
  for (size_t j = 0; j < tile.columns; j += kPackedColumns) {
    if (tile.j + j + kPackedColumns <= tile.i + i) continue;
    packed_products(packed.rows, packed.columns + j / kPackedLanes, block, runs, products);
    const bool inside = i + kPackedRows <= tile.rows && j + kPackedColumns <= tile.columns &&
                        tile.i + i + kPackedRows <= tile.j + j + 1;
    if (!inside) {
      add_products<kPackedRows, kPackedColumns>(tile, i, j, products);
      continue;
    }
    for (size_t r = 0; r < kPackedRows; ++r) {
      double* __restrict at = tile.gram + (tile.i + i + r) * tile.n + tile.j + j;
      for (size_t c = 0; c < kPackedColumns; ++c) at[c] += products[r * kPackedColumns + c];
    }
  }
}

/// One block of `count` tiles from `tiles` on.
void gram_packed(const ChunkView& view, GramTiles tiles, size_t count, Span block, bool whole_block,
                 void* scratch) {
  PackedTile& packed = *static_cast<PackedTile*>(scratch);
  const PackedRuns runs = packed_runs(view, block, whole_block);
  size_t packed_column = SIZE_MAX;
  for (size_t t = 0; t < count; ++t, tiles.next()) {
    const GramTile tile = tiles.tile();
    if (tile.j != packed_column) {
      // Whole pairs of vectors, for all are multiplied; what is past the end is never added.
      const size_t pairs = (tile.columns + kPackedColumns - 1) / kPackedColumns;
      for (size_t j = 0; j < pairs * kPackedColumns; j += kPackedLanes)
        pack_lanes(view, j < tile.columns ? tile.j + j : tile.j, tile.j + tile.columns, block, runs,
                   packed.unpacked, &packed.columns[j / kPackedLanes]);
      packed_column = tile.j;
    }
    for (size_t i = 0; i < tile.rows; i += kPackedRows) {
      pack_rows(view, tile.i + i, tile.i + tile.rows, block, runs, &packed.rows);
      multiply_rows(tile, i, block, runs, packed);
    }
  }
}

/// Matrices of at most this many rows: packing the columns would take longer than meeting so few.
constexpr size_t kFewRows = 16;
/// Rows and columns met at a time. Columns are read as they lie, from one end to the other: several
/// streams the hardware reads ahead of.
constexpr int kFew = 4;
constexpr size_t kFewAhead = 1024;  ///< bytes: the hardware alone left the multipliers waiting

/// Asks for the byte at `offset`, which may lie past the end of what is there.
MUSTER_CELL void ask_for(const int8_t* codes, size_t offset) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(codes) + offset));
}

/// 16 vectors to one: lane i holds the sum of the lanes of vector i.
MUSTER_CELL __m512i sum_lanes(__m512i* v) {
  transpose_words(v);
#pragma GCC unroll 4
  for (size_t step = 8; step > 0; step /= 2)
#pragma GCC unroll 8
    for (size_t i = 0; i < step; ++i) v[i] = _mm512_add_epi32(v[i], v[i + step]);
  return v[0];
}

/// sums[kFew r + c]: inner product of row r with column c over `count` codes, a multiple of 64,
/// where columns enter as u8.
template <int... P, int... K>
MUSTER_CELL void multiply_few(const int8_t* const* rows, const int8_t* const* columns, size_t count,
                              __m512i* sums, cell::Indices<P...>, cell::Indices<K...>) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i sum[] = {(static_cast<void>(P), zero)...};
  for (size_t k = 0; k < count; k += 64) {
    const __m512i column[] = {_mm512_xor_si512(_mm512_loadu_si512(columns[K] + k), flips)...};
    const __m512i row[] = {_mm512_loadu_si512(rows[K] + k)...};
    (ask_for(columns[K], k + kFewAhead), ...);
    (add_code_products(sum[P], column[P % kFew], row[P / kFew]), ...);
  }
  ((sums[P] = sum[P]), ...);
}

/// The same of any count, summed over lanes.
void multiply_few(const int8_t* const* rows, const int8_t* const* columns, size_t count,
                  int32_t* sums) {
  constexpr auto kPairs = cell::IndicesUpTo<kFew * kFew>::type{};
  constexpr auto kEach = cell::IndicesUpTo<kFew>::type{};
  __m512i lanes[kFew * kFew];
  const size_t whole = count / 64 * 64;
  multiply_few(rows, columns, whole, lanes, kPairs, kEach);
  if (whole < count) {
    int8_t left[2 * kFew][64];
    const int8_t* ends[2 * kFew];
    for (size_t i = 0; i < 2 * kFew; ++i) {
      const int8_t* codes = i < kFew ? rows[i] : columns[i - kFew];
      _mm512_storeu_si512(left[i], masked_codes(codes + whole, count - whole));
      ends[i] = left[i];
    }
    __m512i more[kFew * kFew];
    multiply_few(ends, ends + kFew, 64, more, kPairs, kEach);
    for (size_t p = 0; p < kFew * kFew; ++p) lanes[p] = _mm512_add_epi32(lanes[p], more[p]);
  }
  _mm512_storeu_si512(sums, sum_lanes(lanes));
}

/// 128 times the sum of `count` codes.
int32_t excess_of(const int8_t* codes, size_t count) {
  __m512i sum = _mm512_setzero_si512();
  for (size_t k = 0; k < count; k += 64)
    add_code_products(sum, _mm512_set1_epi8(1), masked_codes(codes + k, count - k));
  return 128 * _mm512_reduce_add_epi32(sum);
}

/// Codes of kFew rows from `first` on, at coordinate k; those from `end` on are the first.
MUSTER_CELL void few_codes(const ChunkView& view, size_t first, size_t end, size_t k,
                           const int8_t** codes) {
  for (size_t r = 0; r < kFew; ++r)
    codes[r] = integer_row(view, first + r < end ? first + r : first).codes + k;
}

/// Blocks of a tile of few rows whose sums of codes are known at a time.
constexpr size_t kFewBlocks = 16;

/// Coordinates [begin, end) of a tile of few rows, at most kFewBlocks blocks: a column's blocks one
/// after the other. All codes of a block share one scale.
void gram_few(const ChunkView& view, const GramTile& tile, size_t begin, size_t end) {
  int32_t excess[kFewBlocks][kFewRows] = {};  // 128 * sum of the codes of the row
  const auto block_at = [&](size_t k) { return Span{k, at_most(end - k, canonical::kBlock)}; };
  for (size_t k = begin; k < end; k += canonical::kBlock)
    for (size_t r = 0; r < tile.rows; ++r)
      excess[(k - begin) / canonical::kBlock][r] =
          excess_of(integer_row(view, tile.i + r).codes + k, block_at(k).count);
  for (size_t j = 0; j < tile.columns; j += kFew)
    for (size_t k = begin; k < end; k += canonical::kBlock) {
      const double scale = static_cast<double>(view.shared_scales[k >> view.log2_block]);
      const int8_t *columns[kFew], *rows[kFew];
      few_codes(view, tile.j + j, tile.j + tile.columns, k, columns);
      for (size_t i = 0; i < tile.rows; i += kFew) {
        few_codes(view, tile.i + i, tile.i + tile.rows, k, rows);
        int32_t sums[kFew * kFew];
        multiply_few(rows, columns, block_at(k).count, sums);
        double products[kFew * kFew];
        for (size_t p = 0; p < kFew * kFew; ++p)
          products[p] =
              scale * scale *
              static_cast<double>(sums[p] - excess[(k - begin) / canonical::kBlock][i + p / kFew]);
        add_products<kFew, kFew>(tile, i, j, products);
      }
    }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL

#endif
