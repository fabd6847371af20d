// f64 sums over rows that are differences or products with another row or with a dense vector.
//
// Shape: rows. A warp takes one canonical block (canonical.h) of one pair, or of kRelatedRows rows,
// so lane l holds the canonical lane l; 32 products at a time in ascending order, folded by
// shuffles. Differences and products are rounded and not fused. One value a block leaves the
// kernel; the host adds blocks in ascending order. Reads each code of a pair once; for relate, each
// code once and 8 bytes of the vector for kRelatedRows codes. No shared memory; 8 warps a block.
// Bound on an H100: HBM for f32 (1.2 ms for 1e9 elements); the five f64 operations of relate an
// element 0.34 ms, conversions to f64, 16 a clock and SM, 0.27 ms.
#include <algorithm>

#include "base/check.h"
#include "kernels/canonical.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {
namespace {

/// Partial sums that leave the device at a time, unless one pair has more.
constexpr std::size_t kPartials = std::size_t{1} << 17;
constexpr int kWarps = 8;
constexpr int kRelatedRows = 4;
static_assert(canonical::kLanes == 32);

struct RelateView {
  const int64_t* reference;
  double scale;
  double* distances;  ///< row-major [n, blocks]
  double* dots;       ///< the same
};

/// sums[u] += the partials of unit u, block after block.
void add_blocks(Context& context, const double* partials, std::size_t blocks,
                std::span<double> sums) {
  std::vector<double> entries(sums.size() * blocks);
  if (!entries.empty()) context.fetch(std::span(entries), partials);
  for (std::size_t entry = 0; entry < entries.size(); ++entry)
    sums[entry / blocks] += entries[entry];
}

/// Where a warp works, of warps that number units x blocks.
struct Place {
  size_t unit, block, begin, end;
};
__device__ __forceinline__ Place place_of_warp(size_t d) {
  const size_t warp = static_cast<size_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const size_t blocks = canonical::block_count(d), block = warp % blocks;
  const size_t begin = block * canonical::kBlock;
  return {warp / blocks, block, begin,
          begin + canonical::kBlock < d ? begin + canonical::kBlock : d};
}

/// partials[pair * blocks + block] = squared distance over the block.
template <Coding kCoding>
__global__ __launch_bounds__(kWarps * 32) void pair_distances_of_blocks(CodesView codes,
                                                                        const uint32_t* pairs,
                                                                        size_t pair_count,
                                                                        double* partials) {
  const Place at = place_of_warp(codes.d);
  if (at.unit < pair_count) {
    const std::byte* a = codes.rows[pairs[2 * at.unit]];
    const std::byte* b = codes.rows[pairs[2 * at.unit + 1]];
    double sum = 0;
#pragma unroll 4
    for (size_t k = at.begin + threadIdx.x % 32; k < at.end; k += canonical::kLanes) {
      const double difference = exact_at<kCoding>(codes, a, k) - exact_at<kCoding>(codes, b, k);
      sum += difference * difference;
    }
    sum = fold_lanes(sum);
    if (threadIdx.x % 32 == 0) partials[at.unit * canonical::block_count(codes.d) + at.block] = sum;
  }
}

/// Rows of group unit: squared distances and dots of one block, where wanted.
template <Coding kCoding>
__global__ __launch_bounds__(kWarps * 32) void relate_blocks(CodesView codes, RelateView job) {
  const Place at = place_of_warp(codes.d);
  const size_t first = at.unit * kRelatedRows;
  if (first < codes.n) {
    const std::byte* rows[kRelatedRows];
    double distances[kRelatedRows] = {}, dots[kRelatedRows] = {};
#pragma unroll
    for (int r = 0; r < kRelatedRows; ++r) {
      const size_t row = first + static_cast<size_t>(r);
      rows[r] = codes.rows[row < codes.n ? row : codes.n - 1];
    }
#pragma unroll 2
    for (size_t k = at.begin + threadIdx.x % 32; k < at.end; k += canonical::kLanes) {
      const double reference = cell::to_double(job.reference[k]) * job.scale;
#pragma unroll
      for (int r = 0; r < kRelatedRows; ++r) {
        const double x = exact_at<kCoding>(codes, rows[r], k);
        const double difference = x - reference;
        distances[r] += difference * difference;
        dots[r] += x * reference;
      }
    }
    const size_t blocks = canonical::block_count(codes.d);
#pragma unroll
    for (int r = 0; r < kRelatedRows; ++r) {
      const size_t row = first + static_cast<size_t>(r);
      const double distance = fold_lanes(distances[r]), dot = fold_lanes(dots[r]);
      if (threadIdx.x % 32 == 0 && row < codes.n) {
        job.distances[row * blocks + at.block] = distance;
        job.dots[row * blocks + at.block] = dot;
      }
    }
  }
}

}  // namespace

void pair_distances(const PairDistanceJob& job, Context& context) {
  MUSTER_CHECK_OP(job.pairs.size(), ==, 2 * job.distances.size());
  for (const std::uint32_t row : job.pairs) MUSTER_CHECK_OP(row, <, job.codes.n());
  const std::size_t blocks = canonical::block_count(job.codes.d);
  if (job.distances.empty() || blocks == 0) return;
  const CodesView codes = context.codes(job.codes);
  const std::uint32_t* pairs = context.table(job.pairs);
  const std::size_t at_once = std::clamp<std::size_t>(kPartials / blocks, 1, job.distances.size());
  double* partials = context.scratch<double>(at_once * blocks);
  for (std::size_t first = 0; first < job.distances.size(); first += at_once) {
    const std::size_t count = std::min(at_once, job.distances.size() - first);
    with_coding(codes.coding, [&](auto coding) {
      launch(context, pair_distances_of_blocks<decltype(coding)::value>,
             blocks_for(count * blocks, kWarps), kWarps * 32, codes, pairs + 2 * first, count,
             partials);
    });
    add_blocks(context, partials, blocks, job.distances.subspan(first, count));
  }
}

void relate(const RelateJob& job, Context& context) {
  const std::size_t n = job.codes.n();
  if (!job.squared_distances.empty()) MUSTER_CHECK_OP(job.squared_distances.size(), ==, n);
  if (!job.dots.empty()) MUSTER_CHECK_OP(job.dots.size(), ==, n);
  const CodesView codes = context.codes(job.codes);
  const std::size_t blocks = canonical::block_count(codes.d);
  if (n * blocks == 0) return;
  const RelateView related{job.reference, job.scale, context.scratch<double>(n * blocks),
                           context.scratch<double>(n * blocks)};
  with_coding(codes.coding, [&](auto coding) {
    launch(context, relate_blocks<decltype(coding)::value>,
           blocks_for(divide_up(n, std::size_t{kRelatedRows}) * blocks, kWarps), kWarps * 32, codes,
           related);
  });
  add_blocks(context, related.distances, blocks, job.squared_distances);
  add_blocks(context, related.dots, blocks, job.dots);
}

std::size_t relate_scratch_bytes(std::size_t n, std::size_t d) {
  const std::size_t blocks = canonical::block_count(d);
  return std::max(2 * n * blocks, std::max(kPartials, blocks)) * sizeof(double);
}

}  // namespace muster::kernels::cuda
