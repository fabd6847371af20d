// Kept sums of few rows: a sorting network in registers, one thread a column.
//
// Shape: columns, n <= 64, every codec. Reads each code once, writes 8 bytes a coordinate. Blocks
// of 128 threads; the keys of a block wait in shared memory (512 bytes a row), so that loading is a
// plain loop whatever the codec, and the network sees constant indices. Ladder of 8, 16, 32 and 64
// rows (up to 96 registers). The sum is over integers: no order. Bound on an H100: 17 comparisons
// and exchanges an element at n = 64, 1.1 ms for 1e9 elements; for n <= 16 the one pass over HBM.
#include "kernels/cell/grid.h"
#include "kernels/cell/key.h"
#include "kernels/cell/network.h"
#include "kernels/cuda/kept_sum.h"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {
namespace {

constexpr unsigned kColumnsOfBlock = 128;

template <int... I>
__device__ __forceinline__ void fetch_keys(const int32_t (*keys)[kColumnsOfBlock], size_t n,
                                           int32_t* v, cell::Indices<I...>) {
  ((v[I] = static_cast<size_t>(I) < n ? keys[I][threadIdx.x] : cell::kKeyPastAll), ...);
}

template <int... I>
__device__ __forceinline__ uint64_t sum_kept(const int32_t* v, uint32_t low, uint32_t last,
                                             double grid, cell::Indices<I...>) {
  uint64_t sum = 0;
  ((sum += uint32_t{I} - low < last - low
               ? static_cast<uint64_t>(cell::to_grid(cell::value_of(v[I]), grid))
               : 0),
   ...);
  return sum;
}

template <int N>
__global__ __launch_bounds__(kColumnsOfBlock) void kept_sum_by_network(CodesView codes,
                                                                       KeptView job) {
  __shared__ int32_t keys[N][kColumnsOfBlock];
  const size_t column = static_cast<size_t>(blockIdx.x) * kColumnsOfBlock + threadIdx.x;
  const size_t k = column < codes.d ? column : codes.d - 1;
  by_coding(codes.coding, [&](auto coding) {
#pragma unroll 8
    for (size_t row = 0; row < codes.n; ++row)
      keys[row][threadIdx.x] =
          cell::key_of(value_at<decltype(coding)::value>(codes, codes.rows[row], k));
  });
  using All = typename cell::IndicesUpTo<N>::type;
  int32_t v[N];
  fetch_keys(keys, codes.n, v, All{});
  cell::sort_network<N>(v);
  const auto last = static_cast<uint32_t>(codes.n) - job.high;
  const uint64_t sum = sum_kept(v, job.low, last, job.grid, All{});
  if (column < codes.d) job.target[column] = static_cast<int64_t>(sum);
}

}  // namespace

void sum_by_network(const CodesView& codes, const KeptView& job, Context& context) {
  const auto kernel = codes.n <= 8    ? kept_sum_by_network<8>
                      : codes.n <= 16 ? kept_sum_by_network<16>
                      : codes.n <= 32 ? kept_sum_by_network<32>
                                      : kept_sum_by_network<64>;
  launch(context, kernel, blocks_for(codes.d, kColumnsOfBlock), kColumnsOfBlock, codes, job);
}

}  // namespace muster::kernels::cuda
