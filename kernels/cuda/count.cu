// Histograms of shared-scale codes in memory, and kept sums from them.
//
// count: shape columns. Reads each code once, and reads and writes each counter once a call: n +
// 2048 bytes a coordinate. Blocks of 512 threads take 64 coordinates as kept_sum_of_codes does (64
// KB of shared memory, at most 64 registers, two blocks an SM) and add their histogram to the
// counters in lines of 128 bytes: each warp turns 32 bins x 32 columns within shared memory.
// Bound on an H100, n = 1000: HBM, 0.91 ms for 1e6 coordinates.
//
// kept_sum_of_counts: shape columns, a warp a coordinate, 32 of them in turn. Reads 1024 bytes a
// coordinate in 16-byte loads, writes 8. No shared memory. Bound: HBM, 0.31 ms for 1e6 coordinates.
// All sums are integers: no order.
#include <cmath>

#include "base/check.h"
#include "kernels/cuda/histogram.cuh"
#include "kernels/cuda/kept_sum.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/select.cuh"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/units.cuh"

namespace muster::kernels::cuda {
namespace {

__global__ __launch_bounds__(kCountThreads, 2) void count_columns(CodesView codes,
                                                                  uint32_t* counters) {
  extern __shared__ uint4 memory[];
  auto& counts = *reinterpret_cast<CodeCounts*>(memory);
  const size_t first = static_cast<size_t>(blockIdx.x) * kCountColumns;
  clear_counts(counts);
  __syncthreads();
  count_codes(codes, first, counts);
  __syncthreads();

  // A square of 32 bins x 32 places a warp, turned in place: entry (bin, place) goes to row
  // `place`, bank bin + place, so that neither way two lanes meet in a bank.
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int bin = warp / 2 * 32, place = warp % 2 * 32;
  uint32_t square[32];
#pragma unroll
  for (int i = 0; i < 32; ++i) square[i] = counts[bin + i][place + lane];
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 32; ++i) counts[bin + lane][place + (i + lane) % 32] = square[i];
  __syncwarp();
#pragma unroll 8
  for (int i = 0; i < 32; ++i) {
    const size_t k = first + static_cast<size_t>(column_of_place(place + i));
    if (k < codes.d)
      counters[k * kCodeBins + bin + lane] += counts[bin + i][place + (i + lane) % 32];
  }
}

constexpr int kWarpsOfCounts = 8;

/// KeptSumOfCountsJob on the device.
struct CountsView {
  unsigned log2_block;
  size_t d;
  uint32_t n;
  const uint32_t* counters;
  const int8_t* exponents;
};

__global__ __launch_bounds__(kWarpsOfCounts * 32) void kept_sum_of_counters(CountsView counts,
                                                                            KeptView job) {
  const int lane = threadIdx.x % 32;
  const size_t first = (static_cast<size_t>(blockIdx.x) * kWarpsOfCounts + threadIdx.x / 32) * 32;
  int64_t mine = 0;  // of coordinate first + lane
#pragma unroll 2
  for (int i = 0; i < 32; ++i) {
    const size_t column = first + static_cast<size_t>(i);
    const size_t k = column < counts.d ? column : counts.d - 1;
    const uint4* at = reinterpret_cast<const uint4*>(counts.counters + k * kCodeBins) + lane;
    const uint4 halves[2] = {at[0], at[32]};
    const CodeShift shift = code_shift(counts.exponents[k >> counts.log2_block], job.grid_bits);
    uint32_t before = 0;  // of all bins below this half
    int64_t kept = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint4 four = halves[half];
      const uint32_t bins[4] = {four.x, four.y, four.z, four.w};
      const uint32_t total = bins[0] + bins[1] + bins[2] + bins[3];
      uint32_t upto = total;
#pragma unroll
      for (int width = 1; width < 32; width *= 2) {
        const uint32_t below = __shfl_up_sync(kWholeWarp, upto, width);
        upto += lane >= width ? below : 0;
      }
      kept += kept_of_bins<4>(128 * half + 4 * lane, before + upto - total, job.low,
                              counts.n - job.high, shift.right, [&](int j) { return bins[j]; });
      before += __shfl_sync(kWholeWarp, upto, 31);
    }
    uint64_t sum = static_cast<uint64_t>(kept) << shift.left;
#pragma unroll
    for (int width = 16; width > 0; width /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, width);
    if (lane == i) mine = static_cast<int64_t>(sum);
  }
  if (first + static_cast<size_t>(lane) < counts.d)
    job.target[first + static_cast<size_t>(lane)] = mine;
}

}  // namespace

void count(const CountJob& job, Context& context) {
  MUSTER_CHECK_OP(count_bins(job.codes.format.codec), ==, std::size_t{kCodeBins});
  if (job.codes.n() == 0) return;
  const CodesView codes = context.codes(job.codes);
  launch_shared(context, count_columns, blocks_for(codes.d, kCountColumns), kCountThreads,
                sizeof(CodeCounts), codes, job.counters);
}

void kept_sum_of_counts(const KeptSumOfCountsJob& job, Context& context) {
  MUSTER_CHECK_OP(count_bins(job.format.codec), ==, std::size_t{kCodeBins});
  MUSTER_CHECK_OP(std::uint64_t{job.low} + job.high, <, job.n);
  MUSTER_CHECK_OP(job.scale_exponents.size(), >=,
                  divide_up(job.d, std::size_t{1} << job.format.log2_block));
  const CountsView counts{job.format.log2_block, job.d, job.n, job.counters,
                          context.table(job.scale_exponents)};
  const KeptView kept{job.low, job.high, job.grid_bits, std::ldexp(1.0, job.grid_bits), job.target};
  launch(context, kept_sum_of_counters, blocks_for(job.d, 32 * kWarpsOfCounts), kWarpsOfCounts * 32,
         counts, kept);
}

}  // namespace muster::kernels::cuda
