// Kept sums of int8 codes that share their scales: histograms instead of an order, for every n.
//
// Shape: columns. Reads each code once (1 byte an element), writes 8 bytes a coordinate; nothing
// else touches memory. A block of 512 threads takes 64 coordinates, 66 KB of shared memory and at
// most 64 registers a thread, so that two blocks share an SM and one counts while another sums.
// An element costs one extraction, one address and one addition in shared memory; the bins of a
// column are walked twice, by eight threads. Sums are integers: no order. Bound on an H100 for
// n = 1000: one pass over HBM, 0.30 ms a GB of codes, and about ten instructions a code, 0.33 ms;
// shared memory, 32 words a clock and SM, 0.24 ms, half of it additions (docs/gpu.md).
#include "kernels/cuda/histogram.cuh"
#include "kernels/cuda/kept_sum.h"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/units.cuh"

namespace muster::kernels::cuda {
namespace {

constexpr int kSegments = kCountThreads / kCountColumns;
constexpr int kSegmentBins = kCodeBins / kSegments;

struct KeptCodesShared {
  CodeCounts counts;
  uint32_t totals[kSegments][kCountColumns];
};

__global__ __launch_bounds__(kCountThreads, 2) void kept_sum_of_codes(CodesView codes,
                                                                      KeptView job) {
  extern __shared__ uint4 memory[];
  auto& shared = *reinterpret_cast<KeptCodesShared*>(memory);
  const size_t first = static_cast<size_t>(blockIdx.x) * kCountColumns;
  clear_counts(shared.counts);
  __syncthreads();
  count_codes(codes, first, shared.counts);
  __syncthreads();

  const int place = threadIdx.x % kCountColumns, segment = threadIdx.x / kCountColumns;
  const int bin = segment * kSegmentBins;
  uint32_t total = 0;
#pragma unroll 8
  for (int i = 0; i < kSegmentBins; ++i) total += shared.counts[bin + i][place];
  shared.totals[segment][place] = total;
  __syncthreads();
  uint32_t rank = 0;
  for (int s = 0; s < segment; ++s) rank += shared.totals[s][place];
  const size_t column = first + static_cast<size_t>(column_of_place(place));
  const size_t block = (column < codes.d ? column : codes.d - 1) >> codes.log2_block;
  const CodeShift shift = code_shift(codes.exponents[block], job.grid_bits);
  const int64_t part =
      kept_of_bins<kSegmentBins>(bin, rank, job.low, static_cast<uint32_t>(codes.n) - job.high,
                                 shift.right, [&](int i) { return shared.counts[bin + i][place]; });
  __syncthreads();
  auto* parts = reinterpret_cast<int64_t(*)[kCountColumns]>(shared.counts);
  parts[segment][place] = part;
  __syncthreads();
  // In the order of columns, so that whole lines are written.
  const size_t k = first + threadIdx.x;
  if (threadIdx.x < kCountColumns && k < codes.d) {
    int64_t sum = 0;
#pragma unroll
    for (int s = 0; s < kSegments; ++s)
      sum += parts[s][place_of_column(static_cast<int>(threadIdx.x))];
    const int32_t left = code_shift(codes.exponents[k >> codes.log2_block], job.grid_bits).left;
    job.target[k] = static_cast<int64_t>(static_cast<uint64_t>(sum) << left);
  }
}

}  // namespace

void sum_by_histogram(const CodesView& codes, const KeptView& job, Context& context) {
  launch_shared(context, kept_sum_of_codes, blocks_for(codes.d, kCountColumns), kCountThreads,
                sizeof(KeptCodesShared), codes, job);
}

}  // namespace muster::kernels::cuda
