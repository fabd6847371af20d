// grid_norms(): rows on the grid, squared and added in integers.
//
// One warp a block of 4096 coordinates of a row, a group of coordinates a lane at a time; then one
// thread a row adds the blocks. Integers, so that no order matters. Reads each code once (and the
// centre, which stays in L2), writes 24 bytes a block. Per element the two f64 conversions and the
// product of accumulate(), and some 20 integer instructions for the square: on an H100 about 0.7
// Telements/s, one read of the codes for F32, a fifth of that rate for int8.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/canonical.h"
#include "kernels/cell/grid.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

constexpr unsigned kWarps = kThreads / kWarp;

/// Squares of magnitudes h * 2^23 + l, h at most 2^23: hh * 2^46 + hl * 2^24 + ll. 4096 of each
/// fit.
struct Squares {
  std::uint64_t hh = 0, hl = 0, ll = 0;

  __device__ __forceinline__ void add(std::int64_t q) {
    constexpr std::uint64_t kMost = std::uint64_t{1} << 46;
    const auto magnitude = static_cast<std::uint64_t>(q < 0 ? -q : q);
    const std::uint64_t size = magnitude < kMost ? magnitude : kMost;
    const std::uint64_t high = size >> 23, low = size & 0x7fffff;
    hh += high * high;
    hl += high * low;
    ll += low * low;
  }
};

__device__ __forceinline__ std::int64_t on_grid(float value, double scaled_factor) {
  return cell::to_grid(cell::finite_or_zero(value), scaled_factor);
}

/// squares[row * blocks + block], a warp each. `centre` may be null.
template <Coding kCoding>
__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    square_blocks(CodesView codes, const double* scaled_factors, const float* centre,
                  Squares* squares) {
  constexpr unsigned kCount = kGroup<kCoding>;
  const unsigned lane = threadIdx.x % kWarp;
  const size_t blocks = canonical::block_count(codes.d), units = codes.n * blocks;
  for (size_t unit = thread_index() / kWarp; unit < units; unit += thread_count() / kWarp) {
    const size_t row = unit / blocks, begin = unit % blocks * canonical::kBlock;
    const size_t end = min(codes.d, begin + canonical::kBlock);
    const double factor = scaled_factors[row];
    Squares sums;
    for (size_t k = begin + lane * kCount; k < end; k += kWarp * kCount) {
      float values[kCount];
      load_group<kCoding>(codes, codes.rows[row], k, values);
#pragma unroll
      for (unsigned j = 0; j < kCount; ++j) {
        std::int64_t q = on_grid(values[j], factor);
        if (centre != nullptr && k + j < end) q += on_grid(centre[k + j], -factor);
        if (k + j < end) sums.add(q);
      }
    }
    const std::uint64_t hh = fold_lanes(sums.hh), hl = fold_lanes(sums.hl);
    const std::uint64_t ll = fold_lanes(sums.ll);
    if (lane == 0) {
      squares[unit].hh = hh;
      squares[unit].hl = hl;
      squares[unit].ll = ll;
    }
  }
}

struct AddSquares {
  const Squares* squares;
  size_t blocks;
  SquaredNorm* norms;
  __device__ __forceinline__ void operator()(size_t row) const {
    unsigned __int128 sum = 0;
    for (size_t block = row * blocks; block < (row + 1) * blocks; ++block) {
      sum += static_cast<unsigned __int128>(squares[block].hh) << 46;
      sum += static_cast<unsigned __int128>(squares[block].hl) << 24;
      sum += squares[block].ll;
    }
    norms[row].low = static_cast<std::uint64_t>(sum);
    norms[row].high = static_cast<std::uint64_t>(sum >> 64);
  }
};

}  // namespace

void grid_norms(const GridNormJob& job, Context& context) {
  const std::size_t n = job.codes.n();
  MUSTER_CHECK_OP(job.factors.size(), ==, n);
  MUSTER_CHECK_OP(job.norms.size(), ==, n);
  std::vector<double> scaled_factors(n);
  for (std::size_t row = 0; row < n; ++row) {
    scaled_factors[row] = std::ldexp(job.factors[row], job.grid_bits);
    MUSTER_CHECK(std::isfinite(scaled_factors[row]));
  }
  if (n == 0 || job.codes.d == 0) return;
  const CodesView codes = context.codes(job.codes);
  const double* factors = context.table(std::span<const double>(scaled_factors));
  const std::size_t blocks = canonical::block_count(codes.d), units = n * blocks;
  Squares* squares = context.scratch<Squares>(units);
  with_coding(codes.coding, [&](auto tag) {
    launch(context, square_blocks<decltype(tag)::value>, dim3(grid_for(context, units, kWarps)),
           kThreads, codes, factors, job.centre, squares);
  });
  SquaredNorm* device = context.scratch<SquaredNorm>(n);
  map(context, n, AddSquares{squares, blocks, device});
  std::vector<SquaredNorm> norms(n);
  context.fetch(std::span(norms), static_cast<const SquaredNorm*>(device));
  for (std::size_t row = 0; row < n; ++row) {
    const unsigned __int128 sum = job.norms[row].value() + norms[row].value();
    job.norms[row] = {static_cast<std::uint64_t>(sum), static_cast<std::uint64_t>(sum >> 64)};
  }
}

}  // namespace muster::kernels::cuda
