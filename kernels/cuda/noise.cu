// add_noise(): discrete Gaussian noise onto sums, the integers of the CPU.
//
// A thread computes one ChaCha20 block, which serves four coordinates 64 apart, and draws each
// without branches; a thread block takes four tiles of 256 coordinates at a time and strides over
// the rest. The one or two in a hundred draws that this leaves open go into a list in shared memory
// and are settled afterwards, side by side: taken where they arise, they would hold up whole warps.
// Reads and writes 8 bytes a coordinate, neighbours together. Shared memory: 6 KB of tables, looked
// up at random (each draw meets a bank or two twice), 2 KB of list. About 320 integer instructions
// a coordinate: on an H100 (132 multiprocessors, 64 a clock, 1.7 GHz) some 45 Gcoord/s, a fifth of
// what HBM would allow.
#include "base/limits.h"
#include "kernels/cell/grid.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/noise_table.h"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

constexpr unsigned kParts = 4;  ///< coordinates a ChaCha20 block serves
constexpr unsigned kTilesAtOnce = kThreads / cell::kNoiseBlocks;
constexpr unsigned kDraws = kThreads * kParts;
static_assert(kDraws == kTilesAtOnce * cell::kNoiseTile);

struct Noise {
  const std::uint32_t* key;
  std::uint32_t vector;
  int log2_sigma;
  std::int64_t weight;
  std::uint64_t first;
  std::int64_t* target;
  size_t d;

  __device__ __forceinline__ bool has(std::uint64_t coordinate) const {
    return coordinate >= first && coordinate - first < d;
  }
  __device__ __forceinline__ void add(std::uint64_t coordinate, std::int64_t noise) const {
    std::int64_t* sum = target + (coordinate - first);
    *sum = cell::add_weighted(*sum, weight, noise);
  }
};

/// Which draw: lane of the tile, its tile among those at once, and the quarter of the block.
struct Draw {
  std::uint32_t tile, lane, part;
  __device__ __forceinline__ std::uint64_t coordinate() const {
    return static_cast<std::uint64_t>(tile) * cell::kNoiseTile + part * cell::kNoiseBlocks + lane;
  }
};
__device__ __forceinline__ Draw draw_of(std::uint32_t first_tile, unsigned thread, unsigned part) {
  return {first_tile + thread / cell::kNoiseBlocks, thread % cell::kNoiseBlocks, part};
}

/// The draw as its first four words have it; false where they do not settle it.
__device__ __forceinline__ bool draw_quickly(const cell::GaussTable& table, int log2_sigma,
                                             const std::uint32_t (&words)[4], std::int64_t* noise) {
  const std::int32_t bin = cell::gauss_bin(table, words[0]);
  const int width = log2_sigma - cell::kGaussLog2Width;
  const std::uint64_t offset = static_cast<std::uint64_t>(words[2] & 0x7ff) << 32 | words[1];
  const std::uint64_t magnitude =
      (static_cast<std::uint64_t>(bin) << width) + (offset & ((std::uint64_t{1} << width) - 1));
  const std::uint64_t sign = std::uint64_t{0} - (words[2] >> 31);
  *noise = static_cast<std::int64_t>((magnitude ^ sign) - sign);
  return words[3] < table.sure[bin] && magnitude != 0;
}

/// The rest, whatever it takes: the block once more, for its four words.
__device__ __forceinline__ std::int64_t draw_slowly(const cell::GaussTable& table,
                                                    const cell::NoiseStream& stream, int log2_sigma,
                                                    const Draw& draw) {
  std::uint32_t words[16];
  cell::chacha20_block(cell::noise_input(stream, draw.tile, draw.lane), words);
  std::uint32_t own[4];
#pragma unroll
  for (unsigned i = 0; i < 4; ++i) {
    own[i] = words[i];
#pragma unroll
    for (unsigned part = 1; part < kParts; ++part)
      if (draw.part == part) own[i] = words[4 * part + i];
  }
  return cell::gauss_settle(table, stream, draw.coordinate(), log2_sigma, own);
}

__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    add_noise_tiles(Noise job, const cell::GaussTable* tables, std::uint32_t first_tile,
                    std::uint32_t tiles) {
  __shared__ cell::GaussTable table;
  __shared__ std::uint16_t open[kDraws];
  __shared__ unsigned open_count;
  const unsigned t = threadIdx.x;
  for (unsigned i = t; i < sizeof table / sizeof(std::uint32_t); i += kThreads)
    reinterpret_cast<std::uint32_t*>(&table)[i] = reinterpret_cast<const std::uint32_t*>(tables)[i];
  const cell::NoiseStream stream{job.key, job.vector};
  for (std::uint32_t at = blockIdx.x * kTilesAtOnce; at < tiles; at += gridDim.x * kTilesAtOnce) {
    if (t == 0) open_count = 0;
    __syncthreads();
    const Draw block = draw_of(first_tile + at, t, 0);
    std::uint32_t words[16];
    cell::chacha20_block(cell::noise_input(stream, block.tile, block.lane), words);
#pragma unroll
    for (unsigned part = 0; part < kParts; ++part) {
      const std::uint64_t coordinate = Draw{block.tile, block.lane, part}.coordinate();
      const std::uint32_t own[4] = {words[4 * part], words[4 * part + 1], words[4 * part + 2],
                                    words[4 * part + 3]};
      std::int64_t noise;
      const bool settled = draw_quickly(table, job.log2_sigma, own, &noise);
      if (!job.has(coordinate)) continue;
      if (settled)
        job.add(coordinate, noise);
      else
        open[atomicAdd(&open_count, 1u)] = static_cast<std::uint16_t>(t * kParts + part);
    }
    __syncthreads();
    for (unsigned i = t; i < open_count; i += kThreads) {
      const Draw draw = draw_of(first_tile + at, open[i] / kParts, open[i] % kParts);
      job.add(draw.coordinate(), draw_slowly(table, stream, job.log2_sigma, draw));
    }
    __syncthreads();  // before the list begins anew
  }
}

}  // namespace

void add_noise(const NoiseJob& job, Context& context) {
  MUSTER_CHECK(job.log2_sigma >= kMinLog2Sigma && job.log2_sigma <= kMaxLog2Sigma);
  MUSTER_CHECK(job.d <= limits::kMaxDimension && job.first <= limits::kMaxDimension - job.d);
  if (job.d == 0) return;
  const auto first_tile = static_cast<std::uint32_t>(job.first / cell::kNoiseTile);
  const auto last_tile = static_cast<std::uint32_t>((job.first + job.d - 1) / cell::kNoiseTile);
  const std::uint32_t tiles = last_tile - first_tile + 1;
  std::uint32_t* key = context.secret(std::span<const std::uint32_t>(job.key));
  const Noise noise{key, job.vector, job.log2_sigma, job.weight, job.first, job.target, job.d};
  launch(context, add_noise_tiles, dim3(grid_for(context, tiles, kTilesAtOnce, 1)), kThreads, noise,
         context.table(gauss_table()), first_tile, tiles);
  context.wipe(std::span(key, job.key.size()));
}

}  // namespace muster::kernels::cuda
