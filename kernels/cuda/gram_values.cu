// Gram matrices in f64: float codecs, and any codec around a centre.
//
// Shape: tiles of 16 x 16 pairs, a block of 256 threads each, 8 x 4 pairs a warp whose lanes are
// the canonical lanes (canonical.h): lane l adds the products of coordinates k = l mod 32 in
// ascending order; the 32 sums of a warp fold by shuffles, one pair to each lane; blocks add in
// ascending order. So the bits are the CPU's. Rows are decoded once a tile, 64 coordinates at a
// time, into 16 KB of shared memory; the next 64 are on their way in registers meanwhile. At most
// 255 registers, one block an SM. Uncentred values are f32, their products exact: fused.
// Reads n^2 / 16 codes a coordinate through L2, 1/2 n^2 fused products. Bound on an H100, f32, n =
// 1000, 1e6 coordinates: f64 arithmetic 35 ms (70 ms around a centre, not fused), shared memory (12
// loads of 8 bytes for 32 products) 52 ms, L2 47 ms.
#include "kernels/canonical.h"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {
namespace {

constexpr int kTileRows = 16, kTileColumns = 16;
constexpr int kPairRows = 8, kPairColumns = 4;  ///< of a warp
constexpr int kPairs = kPairRows * kPairColumns;
constexpr int kTileThreads = kTileRows * kTileColumns;
constexpr int kDepth = 64;
constexpr int kLoads = (kTileRows + kTileColumns) * kDepth / kTileThreads;
static_assert(canonical::kBlock % kDepth == 0 && kDepth % canonical::kLanes == 0);
static_assert(kPairs == 32 && kTileThreads / 32 * kPairs == kTileRows * kTileColumns);

/// Coordinate k of the rows that this thread fetches for the tile, exact; zero past the end.
template <Coding kCoding>
__device__ __forceinline__ void fetch(const CodesView& codes, const float* centre,
                                      const std::byte* const* rows, size_t k, double* values) {
  const bool inside = k < codes.d;
  const double origin = inside && centre != nullptr ? static_cast<double>(centre[k]) : 0;
#pragma unroll
  for (int i = 0; i < kLoads; ++i)
    values[i] = inside ? exact_at<kCoding>(codes, rows[i], k) - origin : 0;
}

/// sums[p] of all lanes folded: lane l gets the sum of pair l. Each step halves the pairs that a
/// lane carries.
template <int kWidth>
__device__ __forceinline__ void fold_pairs(double* sums) {
  if constexpr (kWidth > 0) {
    const bool upper = (threadIdx.x & kWidth) != 0;
#pragma unroll
    for (int p = 0; p < kWidth; ++p) {
      const double away = upper ? sums[p] : sums[p + kWidth];
      const double stay = upper ? sums[p + kWidth] : sums[p];
      sums[p] = stay + __shfl_xor_sync(kWholeWarp, away, kWidth);
    }
    fold_pairs<kWidth / 2>(sums);
  }
}

template <Coding kCoding, bool kCentred>
__global__ __launch_bounds__(kTileThreads, 1) void multiply_values(CodesView codes, GramView job) {
  __shared__ double tile[kTileRows + kTileColumns][kDepth];
  const size_t first_row = static_cast<size_t>(blockIdx.y) * kTileRows;
  const size_t first_column = static_cast<size_t>(blockIdx.x) * kTileColumns;
  if (first_column + kTileColumns > first_row) {  // else all of it is below the diagonal
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    // What this thread fetches: one coordinate of every eighth row of the tile.
    const int depth = threadIdx.x % kDepth;
    const std::byte* rows[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int slot = threadIdx.x / kDepth + i * (kTileThreads / kDepth);
      const size_t row = slot < kTileRows ? first_row + slot : first_column + (slot - kTileRows);
      rows[i] = codes.rows[row < codes.n ? row : codes.n - 1];
    }
    const int warp_row = warp / (kTileColumns / kPairColumns) * kPairRows;
    const int warp_column = warp % (kTileColumns / kPairColumns) * kPairColumns;
    const size_t i = first_row + warp_row + lane / kPairColumns;
    const size_t j = first_column + warp_column + lane % kPairColumns;
    const bool mine = i <= j && i < job.rows && j < codes.n;
    double total = mine ? job.gram[i * codes.n + j] : 0;

    double next[kLoads];
    fetch<kCoding>(codes, kCentred ? job.centre : nullptr, rows, depth, next);
    double sums[kPairs] = {};
    for (size_t begin = 0; begin < codes.d; begin += kDepth) {
      __syncthreads();  // the last depth has been read
#pragma unroll
      for (int l = 0; l < kLoads; ++l)
        tile[threadIdx.x / kDepth + l * (kTileThreads / kDepth)][depth] = next[l];
      __syncthreads();
      fetch<kCoding>(codes, kCentred ? job.centre : nullptr, rows, begin + kDepth + depth, next);
#pragma unroll
      for (int k = 0; k < kDepth; k += 32) {
        double a[kPairRows], b[kPairColumns];
#pragma unroll
        for (int r = 0; r < kPairRows; ++r) a[r] = tile[warp_row + r][k + lane];
#pragma unroll
        for (int c = 0; c < kPairColumns; ++c) b[c] = tile[kTileRows + warp_column + c][k + lane];
#pragma unroll
        for (int p = 0; p < kPairs; ++p) {
          const double x = a[p / kPairColumns], y = b[p % kPairColumns];
          sums[p] = kCentred ? sums[p] + x * y : cell::add_exact_product(x, y, sums[p]);
        }
      }
      const size_t end = begin + kDepth;
      if (end % canonical::kBlock == 0 || end >= codes.d) {
        fold_pairs<16>(sums);
        total += sums[0];
#pragma unroll
        for (int p = 0; p < kPairs; ++p) sums[p] = 0;
      }
    }
    if (mine) {
      job.gram[i * codes.n + j] = total;
      if (j < job.rows) job.gram[j * codes.n + i] = total;
    }
  }
}

}  // namespace

void gram_of_values(const CodesView& codes, const GramView& job, Context& context) {
  const dim3 grid(blocks_for(codes.n, kTileColumns), blocks_for(job.rows, kTileRows));
  with_coding(codes.coding, [&](auto coding) {
    constexpr Coding kCoding = decltype(coding)::value;
    if (job.centre != nullptr)
      launch(context, multiply_values<kCoding, true>, grid, kTileThreads, codes, job);
    else if constexpr (!cell::is_integer(kCoding))
      launch(context, multiply_values<kCoding, false>, grid, kTileThreads, codes, job);
  });
}

}  // namespace muster::kernels::cuda
