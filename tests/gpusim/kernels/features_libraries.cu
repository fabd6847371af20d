// Libraries that come with the toolkit. 64 threads a kernel, 256 words each of input and output.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <curand_kernel.h>

#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#define KERNEL extern "C" __global__ void
using Word = unsigned;

KERNEL tiles(const Word* in, Word* out) {
  auto tile = cooperative_groups::tiled_partition<16>(cooperative_groups::this_thread_block());
  const Word sum =
      cooperative_groups::reduce(tile, in[threadIdx.x], cooperative_groups::plus<Word>());
  out[threadIdx.x] = sum + tile.thread_rank();
}

KERNEL block_reduce(const Word* in, Word* out) {
  using Reduce = cub::BlockReduce<Word, 64>;
  __shared__ typename Reduce::TempStorage storage;
  const Word sum = Reduce(storage).Sum(in[threadIdx.x]);
  if (threadIdx.x == 0) out[0] = sum;
}

KERNEL block_scan(const Word* in, Word* out) {
  using Scan = cub::BlockScan<Word, 64>;
  __shared__ typename Scan::TempStorage storage;
  Word before;
  Scan(storage).ExclusiveSum(in[threadIdx.x], before);
  out[threadIdx.x] = before;
}

KERNEL block_sort(const Word* in, Word* out) {
  using Sort = cub::BlockRadixSort<Word, 64, 4>;
  __shared__ typename Sort::TempStorage storage;
  Word keys[4];
  for (int i = 0; i < 4; ++i) keys[i] = in[threadIdx.x * 4 + i];
  Sort(storage).Sort(keys);
  for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = keys[i];
}

KERNEL mathematics(const float* in, float* out) {
  const float v = in[threadIdx.x];
  out[threadIdx.x] = expf(v) + logf(v + 2.0f) + sinf(v) + tanhf(v) + powf(v, 1.7f) + erff(v);
}

KERNEL random_numbers(float* out) {
  curandStatePhilox4_32_10_t state;
  curand_init(1234, threadIdx.x, 0, &state);
  out[threadIdx.x] = curand_uniform(&state) + curand_normal(&state);
}
