// inspect(): norms, and what is not finite or out of bound, row by row.
//
// One warp a canonical block (4096 coordinates) of a row, eight warps a thread block, no shared
// memory; then one thread a row adds the blocks in ascending order. Reads each code once; writes 16
// bytes a block. Order of the f64 sums: kernels/canonical.h, whose lanes are the lanes of the warp;
// integer codecs sum their codes in i32 and add one product a run of equal scale. On an H100 one
// read of the codes for the floats (a lane waits 8 clocks an addition, which 64 warps hide); a warp
// takes 32 codes of int8 a load, one sector, and issues about 12 instructions for each: half that
// rate.
#include <vector>

#include "kernels/canonical.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

constexpr unsigned kWarps = kThreads / kWarp;

/// What one coordinate is beyond: 0 nothing, 1 the bound, 2 all numbers.
__device__ __forceinline__ unsigned excess(float value, float bound) {
  const std::uint32_t magnitude = cell::magnitude_bits(value);
  return magnitude >= cell::kInfinityBits ? 2u : magnitude > cell::bits_of(bound) ? 1u : 0u;
}

struct Counts {
  std::uint32_t non_finite = 0, out_of_bound = 0;
  __device__ __forceinline__ void add(unsigned excess) {
    non_finite += excess == 2;
    out_of_bound += excess == 1;
  }
};

/// One coordinate of a row: q of an integer codec, 0 else; and its value.
template <Coding kCoding>
__device__ __forceinline__ std::int32_t code_at(const CodesView& codes, const std::byte* row,
                                                size_t k) {
  const uint8_t* source = row_codes<kCoding>(codes, row);
  if constexpr (kCoding == Coding::kSign1)
    return static_cast<std::int32_t>(source[k / 8] >> (k % 8) & 1) * 2 - 1;
  else if constexpr (kCoding == Coding::kI4B || kCoding == Coding::kI4S)
    return k % 2 == 0 ? cell::low_code(source[k / 2]) : cell::high_code(source[k / 2]);
  else
    return static_cast<std::int8_t>(source[k]);
}

template <Coding kCoding>
__device__ __forceinline__ float value_at(const CodesView& codes, const std::byte* row, size_t k) {
  if constexpr (kCoding == Coding::kF32) {
    return reinterpret_cast<const float*>(row)[k];
  } else if constexpr (kCoding == Coding::kHsq) {
    float value[1];
    load_group<kCoding>(codes, row, k, value);
    return value[0];
  } else {
    const std::uint16_t half = reinterpret_cast<const std::uint16_t*>(row)[k];
    return kCoding == Coding::kF16 ? cell::decode_f16(half) : cell::decode_bf16(half);
  }
}

/// Block [begin, end) of a row of floats; the result is that of lane 0.
template <Coding kCoding>
__device__ __forceinline__ double inspect_floats(const CodesView& codes, const std::byte* row,
                                                 size_t begin, size_t end, float bound,
                                                 unsigned lane, Counts& counts) {
  double sum = 0;
#pragma unroll 4
  for (size_t k = begin + lane; k < end; k += kWarp) {
    const float value = value_at<kCoding>(codes, row, k);
    counts.add(excess(value, bound));
    const double finite = static_cast<double>(cell::finite_or_zero(value));
    sum = cell::add_exact_product(finite, finite, sum);
  }
  return fold_lanes(sum);
}

/// The same of integers: a run of equal scale after the other. Without norms a run is not read
/// where its scale alone proves that all is in bound.
template <Coding kCoding>
__device__ __forceinline__ double inspect_integers(const CodesView& codes, const std::byte* row,
                                                   size_t begin, size_t end, float bound,
                                                   bool norms, unsigned lane, Counts& counts) {
  double norm = 0;
  for (size_t k = begin; k < end;) {
    const size_t block = k >> codes.log2_block;
    const size_t stop = min(end, (block + 1) << codes.log2_block);
    const float scale = block_scale<kCoding>(codes, row, block);
    const bool clean = excess(scale * 128.0f, bound) == 0;
    std::int32_t squares = 0;
    if (norms || !clean) {
#pragma unroll 4
      for (size_t at = k + lane; at < stop; at += kWarp) {
        const std::int32_t q = code_at<kCoding>(codes, row, at);
        const unsigned beyond =
            clean ? 0u : excess(cell::decode_i8(scale, static_cast<std::int8_t>(q)), bound);
        counts.add(beyond);
        squares += beyond == 2 ? 0 : q * q;
      }
    }
    const auto total = static_cast<double>(fold_lanes(squares));
    const double wide = static_cast<double>(scale);
    if (total != 0) norm += wide * wide * total;  // so that the scale is finite
    k = stop;
  }
  return norm;
}

/// summaries[row * blocks + block], a warp each.
template <Coding kCoding>
__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    inspect_blocks(CodesView codes, float bound, bool norms, RowSummary* summaries) {
  const unsigned lane = threadIdx.x % kWarp;
  const size_t blocks = canonical::block_count(codes.d), units = codes.n * blocks;
  for (size_t unit = thread_index() / kWarp; unit < units; unit += thread_count() / kWarp) {
    const std::byte* row = codes.rows[unit / blocks];
    const size_t begin = unit % blocks * canonical::kBlock;
    const size_t end = min(codes.d, begin + canonical::kBlock);
    Counts counts;
    double norm;
    if constexpr (cell::is_integer(kCoding))
      norm = inspect_integers<kCoding>(codes, row, begin, end, bound, norms, lane, counts);
    else
      norm = inspect_floats<kCoding>(codes, row, begin, end, bound, lane, counts);
    const std::uint32_t non_finite = fold_lanes(counts.non_finite);
    const std::uint32_t out_of_bound = fold_lanes(counts.out_of_bound);
    if (lane == 0) {
      summaries[unit].squared_norm = norms ? norm : 0.0;
      summaries[unit].non_finite = non_finite;
      summaries[unit].out_of_bound = out_of_bound;
    }
  }
}

struct AddBlocks {
  const RowSummary* summaries;
  size_t blocks;
  RowSummary* rows;
  __device__ __forceinline__ void operator()(size_t row) const {
    double norm = 0;
    std::uint32_t non_finite = 0, out_of_bound = 0;
    for (size_t block = row * blocks; block < (row + 1) * blocks; ++block) {
      norm += summaries[block].squared_norm;
      non_finite += summaries[block].non_finite;
      out_of_bound += summaries[block].out_of_bound;
    }
    rows[row].squared_norm = norm;
    rows[row].non_finite = non_finite;
    rows[row].out_of_bound = out_of_bound;
  }
};

}  // namespace

void inspect(const InspectJob& job, Context& context) {
  const std::size_t n = job.codes.n();
  MUSTER_CHECK_OP(job.summaries.size(), ==, n);
  MUSTER_CHECK(job.value_bound >= 0);
  if (n == 0) return;
  const CodesView codes = context.codes(job.codes);
  const std::size_t blocks = canonical::block_count(codes.d), units = n * blocks;
  RowSummary* summaries = context.scratch<RowSummary>(units);
  RowSummary* rows = context.scratch<RowSummary>(n);
  with_coding(codes.coding, [&](auto tag) {
    launch(context, inspect_blocks<decltype(tag)::value>, dim3(grid_for(context, units, kWarps)),
           kThreads, codes, job.value_bound, job.norms, summaries);
  });
  map(context, n, AddBlocks{summaries, blocks, rows});
  context.fetch(job.summaries, static_cast<const RowSummary*>(rows));
}

}  // namespace muster::kernels::cuda
