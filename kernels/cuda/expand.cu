// expand(): EDEN and TOPK rows to f32.
//
// EDEN: hadamard.cuh over centroids in f32, then scale and sign. Reads `bits` bits a coordinate and
// writes 4 bytes, with one value on its way through L2 between the two kernels: rows go in batches
// that fit it. On an H100 (3.35 TB/s) at most 740 Gcoord/s at 4 bits; some 146 instructions a value
// (64 for 16 stages, 50 for two hashes of its sign) leave 200 Gcoord/s. TOPK: one thread block a
// row zeroes the row, then its first warp walks the indices, 32 bytes of gaps or 256 bits of mask
// at a time, counting with ballots and scans. Writes 4 bytes a coordinate.
#include <algorithm>

#include "base/centroids.h"
#include "base/codec_random.h"
#include "kernels/cuda/hadamard.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

constexpr std::size_t kBatchRows = 32'768;  ///< within what blockIdx.y counts

/// Fields of payloads are 4-byte aligned, no more.
__device__ __forceinline__ std::uint64_t load_u64(const std::byte* at) {
  const auto* words = reinterpret_cast<const std::uint32_t*>(at);
  return words[0] | static_cast<std::uint64_t>(words[1]) << 32;
}

struct EdenCentroids {
  CodesView codes;
  const float* centroids;
  __device__ __forceinline__ float operator()(unsigned row, size_t k) const {
    const std::byte* indices = codes.rows[row] + kEdenHeadBytes + codes.blocks * sizeof(float);
    return centroids[packed_code(reinterpret_cast<const std::uint8_t*>(indices), k, codes.bits)];
  }
};

struct EdenValues {
  CodesView codes;
  float* target;
  size_t pitch;
  __device__ __forceinline__ void operator()(unsigned row, size_t k, float value) const {
    const std::byte* payload = codes.rows[row];
    const size_t rotation = k >> codes.log2_block;
    const size_t within = k - (rotation << codes.log2_block);
    const float scale = reinterpret_cast<const float*>(payload + kEdenHeadBytes)[rotation];
    const bool flip = is_flipped(rotation_key(load_u64(payload), rotation), within);
    const std::uint32_t bits = cell::bits_of(value * scale);
    target[row * pitch + k] = cell::float_of(flip ? bits ^ 0x80000000u : bits);
  }
};

void expand_eden(const ExpandJob& job, Context& context) {
  const Rotations rotations = rotations_of(job.codes.format, job.codes.d);
  const CodesView codes = context.rows(job.codes);
  const float* centroids = context.table(muster::centroids(job.codes.format.bits));
  const std::size_t row_bytes = rotations.length * sizeof(float);
  const std::size_t batch = std::clamp<std::size_t>(kTransformBytes / row_bytes, 1,
                                                    std::min<std::size_t>(codes.n, kBatchRows));
  float* values = context.scratch<float>(batch * rotations.length);
  for (std::size_t first = 0; first < codes.n; first += batch) {
    CodesView part = codes;
    part.rows += first;
    hadamard(context, rotations, std::min<std::size_t>(batch, codes.n - first),
             EdenCentroids{part, centroids}, values,
             EdenValues{part, job.target + first * job.pitch, job.pitch});
  }
}

/// One row of TOPK; positions and counts are the same in all lanes.
struct TopKRow {
  const std::uint8_t* values;
  const std::uint8_t* indices;
  std::uint32_t k;     ///< values there are
  std::uint32_t bits;  ///< of a value
  float* target;
  size_t d;

  __device__ __forceinline__ void put(std::uint32_t j, size_t index) const {
    if (j >= k || index >= d) return;
    target[index] = bits == 32
                        ? reinterpret_cast<const float*>(values)[j]
                        : cell::decode_f16(reinterpret_cast<const std::uint16_t*>(values)[j]);
  }
};

/// The sum of `value` over this lane and those below.
__device__ __forceinline__ std::uint32_t scan_lanes(std::uint32_t value, unsigned lane) {
#pragma unroll
  for (unsigned width = 1; width < kWarp; width *= 2) {
    const std::uint32_t below = __shfl_up_sync(kAllLanes, value, width);
    if (lane >= width) value += below;
  }
  return value;
}

/// A lane takes a byte of the mask.
__device__ __forceinline__ void scatter_mask(const TopKRow& row, unsigned lane) {
  const size_t bytes = (row.d + 7) / 8;
  std::uint32_t before = 0;
  for (size_t at = 0; at < bytes; at += kWarp) {
    std::uint32_t mask = at + lane < bytes ? row.indices[at + lane] : 0u;
    const std::uint32_t through = scan_lanes(__popc(mask), lane);
    std::uint32_t j = before + through - __popc(mask);
    for (; mask != 0; mask &= mask - 1) row.put(j++, (at + lane) * 8 + __ffs(mask) - 1);
    before += __shfl_sync(kAllLanes, through, kWarp - 1);
  }
}

/// A lane takes a byte of gaps - 1 in LEB128: at most three bytes each, the last without its top
/// bit.
__device__ __forceinline__ void scatter_gaps(const TopKRow& row, unsigned lane) {
  const std::uint8_t* at = row.indices;
  std::uint32_t before = 0, position = 0;      // gaps and coordinates passed
  std::uint32_t previous = 0, previous_2 = 0;  // the two bytes before `at`
  while (before < row.k) {
    // Each gap that is left has a byte at least: so many may be read.
    const unsigned count = min(row.k - before, kWarp);
    const std::uint32_t byte = lane < count ? at[lane] : 0x80u;
    std::uint32_t back_1 = __shfl_up_sync(kAllLanes, byte, 1);
    std::uint32_t back_2 = __shfl_up_sync(kAllLanes, byte, 2);
    if (lane == 0) back_1 = previous;
    if (lane <= 1) back_2 = lane == 0 ? previous_2 : previous;
    const bool ends = byte < 0x80u;
    const std::uint32_t two = (back_1 & 0x7fu) | byte << 7;
    const std::uint32_t three = (back_2 & 0x7fu) | two << 7;
    const std::uint32_t gap = back_1 < 0x80u ? byte : back_2 < 0x80u ? two : three;
    const std::uint32_t passed = scan_lanes(ends ? gap + 1 : 0u, lane);
    const std::uint32_t all = __ballot_sync(kAllLanes, ends);
    if (ends) row.put(before + __popc(all & ((1u << lane) - 1)), position + passed - 1);
    before += __popc(all);
    position += __shfl_sync(kAllLanes, passed, kWarp - 1);
    const std::uint32_t next_2 = __shfl_sync(kAllLanes, byte, count >= 2 ? count - 2 : 0);
    previous_2 = count >= 2 ? next_2 : previous;
    previous = __shfl_sync(kAllLanes, byte, count - 1);
    at += count;
  }
}

__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    expand_topk_rows(CodesView codes, std::uint32_t most, float* target, size_t pitch) {
  for (std::uint32_t index = blockIdx.x; index < codes.n; index += gridDim.x) {
    const std::byte* payload = codes.rows[index];
    const auto* head = reinterpret_cast<const std::uint32_t*>(payload);
    TopKRow row;
    row.k = min(head[0], most);
    row.bits = codes.bits;
    row.values = reinterpret_cast<const std::uint8_t*>(payload) + kTopKHeadBytes;
    row.indices = row.values + static_cast<size_t>(row.k) * (codes.bits / 8);
    row.target = target + index * pitch;
    row.d = codes.d;
    for (size_t k = threadIdx.x; k < codes.d; k += kThreads) row.target[k] = 0;
    __syncthreads();
    if (threadIdx.x < kWarp)
      (head[1] & kTopKBitmap) != 0 ? scatter_mask(row, threadIdx.x)
                                   : scatter_gaps(row, threadIdx.x);
  }
}

void expand_topk(const ExpandJob& job, Context& context) {
  const CodesView codes = context.rows(job.codes);
  const auto most = static_cast<std::uint32_t>(kept_count(job.codes.format, job.codes.d));
  launch(context, expand_topk_rows, dim3(grid_for(context, codes.n, 1)), kThreads, codes, most,
         job.target, job.pitch);
}

}  // namespace

void expand(const ExpandJob& job, Context& context) {
  MUSTER_CHECK(is_sound(job.codes.format) && needs_expansion(job.codes.format.codec));
  MUSTER_CHECK_OP(job.pitch, >=, job.codes.d);
  if (job.codes.d == 0 || job.codes.n() == 0) return;
  job.codes.format.codec == Codec::kEden ? expand_eden(job, context) : expand_topk(job, context);
}

}  // namespace muster::kernels::cuda
