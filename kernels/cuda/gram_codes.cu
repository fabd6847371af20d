// Gram matrices of integer codecs: exact integers for each run of coordinates that share a scale.
//
// Shape: tiles of 64 x 64 pairs, 4 x 4 a thread of 256. Codes come as words of four, one a byte
// again, 128 coordinates at a time into 18 KB of shared memory whose pitch of 36 words keeps
// 16-byte loads free of conflicts; dp4a adds four products. At the end of a run the integers are
// multiplied by the exact product of both scales, rounded once and added in ascending order; at the
// end of a canonical block its sum is added to the matrix: the CPU's bits. At most 128 registers,
// two blocks an SM. Reads n^2 / 64 codes a coordinate through L2. Bound on an H100, n = 1000, 1e6
// coordinates, runs of 256: 64 dp4a a clock and SM, 9.4 ms for 136 tiles, and one rounding of each
// pair a run; as four of 132 SMs get two tiles, twice that.
// Runs of one and two coordinates cost a dp4a each. Whole stretches of one scale go to the tensor
// cores instead (gram_gemm.cu).
#include "kernels/canonical.h"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/words.cuh"

namespace muster::kernels::cuda {
namespace {

constexpr int kTile = 64;
constexpr int kEdge = 4;   ///< pairs of a thread: 4 x 4, 16 apart
constexpr int kSide = 16;  ///< threads of a side
constexpr int kTileThreads = kSide * kSide;
constexpr int kWords = 32;  ///< of a row at a time: 128 coordinates
constexpr int kPitch = kWords + 4;
constexpr uint32_t kBlock = canonical::kBlock;

/// What a thread knows of its pairs: rows first_row + y + 16 r against columns first_column + x +
/// 16 c.
struct Pairs {
  size_t first_row, first_column;
  int32_t codes[kEdge][kEdge];
  double products[kEdge][kEdge];
};

/// Rows past the end read as the last; nothing is stored of them.
__device__ __forceinline__ const std::byte* row_at(const CodesView& codes, size_t row) {
  return codes.rows[row < codes.n ? row : codes.n - 1];
}

/// Ends the run that holds coordinate k: codes times both scales, rounded once.
template <Coding kCoding>
__device__ __forceinline__ void end_run(const CodesView& codes, size_t k, Pairs& pairs) {
  double scales[kEdge];
#pragma unroll
  for (int c = 0; c < kEdge; ++c)
    scales[c] = scale_at<kCoding>(
        codes, row_at(codes, pairs.first_column + threadIdx.x % kSide + c * kSide), k);
#pragma unroll
  for (int r = 0; r < kEdge; ++r) {
    const double scale = scale_at<kCoding>(
        codes, row_at(codes, pairs.first_row + threadIdx.x / kSide + r * kSide), k);
#pragma unroll
    for (int c = 0; c < kEdge; ++c) {
      pairs.products[r][c] += scale * scales[c] * static_cast<double>(pairs.codes[r][c]);
      pairs.codes[r][c] = 0;
    }
  }
}

/// Ends a canonical block: its sums meet the matrix; `last`: the lower triangle too.
__device__ __forceinline__ void end_block(const CodesView& codes, const GramView& job, bool last,
                                          Pairs& pairs) {
#pragma unroll
  for (int r = 0; r < kEdge; ++r)
#pragma unroll
    for (int c = 0; c < kEdge; ++c) {
      const size_t i = pairs.first_row + threadIdx.x / kSide + r * kSide;
      const size_t j = pairs.first_column + threadIdx.x % kSide + c * kSide;
      if (i <= j && i < job.rows && j < codes.n) {
        const double sum = job.gram[i * codes.n + j] + pairs.products[r][c];
        job.gram[i * codes.n + j] = sum;
        if (last && j < job.rows) job.gram[j * codes.n + i] = sum;
      }
      pairs.products[r][c] = 0;
    }
}

using Tile = uint32_t[2][kTile][kPitch];

/// Runs of 16 coordinates and more, whose ends are those of 16-byte loads.
template <Coding kCoding>
__device__ __forceinline__ void add_long_runs(const CodesView& codes, const Tile& tile,
                                              uint32_t slab, uint32_t end, uint32_t run,
                                              Pairs& pairs) {
  const int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
#pragma unroll 1
  for (uint32_t word = 0; word < kWords && slab + 4 * word < end; word += 4) {
    uint4 a[kEdge], b[kEdge];
#pragma unroll
    for (int e = 0; e < kEdge; ++e) {
      a[e] = *reinterpret_cast<const uint4*>(&tile[0][y + e * kSide][word]);
      b[e] = *reinterpret_cast<const uint4*>(&tile[1][x + e * kSide][word]);
    }
#pragma unroll
    for (int r = 0; r < kEdge; ++r)
#pragma unroll
      for (int c = 0; c < kEdge; ++c) {
        int32_t& sum = pairs.codes[r][c];
        sum = __dp4a(static_cast<int>(a[r].x), static_cast<int>(b[c].x), sum);
        sum = __dp4a(static_cast<int>(a[r].y), static_cast<int>(b[c].y), sum);
        sum = __dp4a(static_cast<int>(a[r].z), static_cast<int>(b[c].z), sum);
        sum = __dp4a(static_cast<int>(a[r].w), static_cast<int>(b[c].w), sum);
      }
    const uint32_t k = slab + 4 * word, after = k + 16;
    if (after % run == 0 || after >= end) end_run<kCoding>(codes, k, pairs);
  }
}

/// Runs of 1, 2, 4 and 8 coordinates.
template <Coding kCoding>
__device__ __forceinline__ void add_short_runs(const CodesView& codes, const Tile& tile,
                                               uint32_t slab, uint32_t end, uint32_t run,
                                               Pairs& pairs) {
  const int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
  const uint32_t step = run < 4 ? run : 4;
  const uint32_t all = 0xffffffffu >> 8 * (4 - step);
#pragma unroll 1
  for (uint32_t k = slab; k < slab + 4 * kWords && k < end; k += step) {
    const uint32_t word = (k - slab) / 4;
    const uint32_t mask = all << 8 * (k % 4);
#pragma unroll
    for (int r = 0; r < kEdge; ++r)
#pragma unroll
      for (int c = 0; c < kEdge; ++c)
        pairs.codes[r][c] =
            __dp4a(static_cast<int>(tile[0][y + r * kSide][word] & mask),
                   static_cast<int>(tile[1][x + c * kSide][word]), pairs.codes[r][c]);
    const uint32_t after = k + step;
    if (after % run == 0 || after >= end) end_run<kCoding>(codes, k, pairs);
  }
}

/// Canonical blocks [begin, end) of coordinates, the last one perhaps in part.
template <Coding kCoding, bool kShort>
__global__ __launch_bounds__(kTileThreads,
                             kShort ? 1 : 2) void multiply_codes(CodesView codes, GramView job,
                                                                 uint32_t begin, uint32_t end) {
  __shared__ alignas(16) Tile tile;
  Pairs pairs = {static_cast<size_t>(blockIdx.y) * kTile, static_cast<size_t>(blockIdx.x) * kTile};
  if (pairs.first_column + kTile > pairs.first_row) {  // else all of it is below the diagonal
    const uint32_t run = 1u << codes.log2_block;
    for (uint32_t slab = begin; slab < end; slab += 4 * kWords) {
      __syncthreads();  // the last slab has been read
#pragma unroll 4
      for (int i = threadIdx.x; i < 2 * kTile * kWords; i += kTileThreads) {
        const int side = i / (kTile * kWords), row = i / kWords % kTile, word = i % kWords;
        const size_t first = side == 0 ? pairs.first_row : pairs.first_column;
        tile[side][row][word] =
            codes_word<kCoding>(codes, row_at(codes, first + row), slab + 4 * word, end);
      }
      __syncthreads();
      // A canonical block ends a run, whose sums then begin anew.
      const uint32_t block_end = (slab / kBlock + 1) * kBlock;
      const uint32_t stop = block_end < end ? block_end : end;
      if constexpr (kShort)
        add_short_runs<kCoding>(codes, tile, slab, stop, run, pairs);
      else
        add_long_runs<kCoding>(codes, tile, slab, stop, run, pairs);
      const uint32_t next = slab + 4 * kWords;
      if (next >= stop) end_block(codes, job, next >= end, pairs);
    }
  }
}

}  // namespace

void gram_of_codes(const CodesView& codes, const GramView& job, Stretch stretch, Context& context) {
  const dim3 grid(blocks_for(codes.n, kTile), blocks_for(job.rows, kTile));
  with_coding(codes.coding, [&](auto coding) {
    constexpr Coding kCoding = decltype(coding)::value;
    if constexpr (cell::is_integer(kCoding)) {
      const auto kernel =
          codes.log2_block < 4 ? multiply_codes<kCoding, true> : multiply_codes<kCoding, false>;
      launch(context, kernel, grid, kTileThreads, codes, job, stretch.begin, stretch.end);
    }
  });
}

}  // namespace muster::kernels::cuda
