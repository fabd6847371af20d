// Rows folded into few cells.
//
// Shape: rows. A warp takes a share of the blocks of one row, adds 64 coordinates at a time, with
// their signs, to cells of its own in shared memory (8 bytes a cell, 32 KB for 4096), and at the
// end adds those that changed to the row's cells. Reads each code once, and 12 bytes for every 64
// of them. Lanes of a block never meet in a cell; __syncwarp between blocks, which may. Where the
// cells do not fit shared memory all additions go to memory. Integers, atomics included: no order.
// Bound on an H100, 4096 cells: 6 warps an SM, each with 512 coordinates (768 of integer codecs)
// under way in about 1000 clocks, most of them one latency of HBM: f32 12 KB a latency and SM, what
// HBM gives (0.84e12 elements/s); int8 1.06e12 elements/s, a third of it.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/cell/grid.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/shared_launch.cuh"
#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {
namespace {

constexpr size_t kFold = kSketchBlock;
constexpr size_t kWarpsOfDevice = 1024;
/// Blocks of 64 coordinates asked for before the first is added: a multiprocessor has six warps,
/// and HBM wants 10 KB under way. Registers there are enough for so few.
template <Coding kCoding>
constexpr size_t kAhead = cell::is_integer(kCoding) ? 12 : 8;

struct SketchView {
  size_t cells;
  const uint64_t* signs;
  const uint32_t* places;
  float scale;  ///< 2^unit_bits
  int64_t* target;
};

template <Coding kCoding, bool kShared>
__global__ __launch_bounds__(32) void sketch_rows(CodesView codes, SketchView job) {
  extern __shared__ uint4 memory[];
  auto* const cells = reinterpret_cast<int64_t*>(memory);
  const size_t row = blockIdx.x;
  const std::byte* const data = codes.rows[row];
  auto* const target = reinterpret_cast<unsigned long long*>(job.target + row * job.cells);
  const size_t blocks = (codes.d + kFold - 1) / kFold;
  const size_t begin = blocks * blockIdx.y / gridDim.y, end = blocks * (blockIdx.y + 1) / gridDim.y;
  if constexpr (kShared) {
    for (size_t c = threadIdx.x; c < job.cells; c += 32) cells[c] = 0;
    __syncwarp();
  }
  for (size_t first = begin; first < end; first += kAhead<kCoding>) {
    int32_t units[kAhead<kCoding>][2];
    uint32_t places[kAhead<kCoding>];
#pragma unroll
    for (size_t i = 0; i < kAhead<kCoding>; ++i) {
      const size_t block = first + i < end ? first + i : first;
      const uint64_t signs = job.signs[block];
      places[i] = job.places[block];
#pragma unroll
      for (unsigned half = 0; half < 2; ++half) {
        const unsigned at = threadIdx.x + 32 * half;
        const size_t k = block * kFold + at;
        const float x = k < codes.d ? value_at<kCoding>(codes, data, k) : 0.0f;
        units[i][half] =
            cell::to_sketch_units(x, job.scale, static_cast<uint32_t>(signs >> at) << 31);
      }
    }
#pragma unroll
    for (size_t i = 0; i < kAhead<kCoding>; ++i) {
      if (first + i < end) {
#pragma unroll
        for (unsigned half = 0; half < 2; ++half) {
          const size_t cell = places[i] + threadIdx.x + 32 * half;
          if constexpr (kShared)
            cells[cell] += units[i][half];
          else
            atomicAdd(target + cell, static_cast<unsigned long long>(int64_t{units[i][half]}));
        }
        __syncwarp();  // the next block may lie across
      }
    }
  }
  if constexpr (kShared)
    for (size_t c = threadIdx.x; c < job.cells; c += 32)
      if (cells[c] != 0) atomicAdd(target + c, static_cast<unsigned long long>(cells[c]));
}

}  // namespace

void sketch(const SketchJob& job, Context& context) {
  MUSTER_CHECK(job.cells >= kSketchBlock && job.cells % kSketchBlock == 0);
  MUSTER_CHECK(job.unit_bits >= -100 && job.unit_bits <= 100);
  const CodesView codes = context.codes(job.codes);
  const SketchView sketch{job.cells, job.signs, job.places, std::ldexp(1.0f, job.unit_bits),
                          job.target};
  const std::size_t bytes = job.cells * sizeof(std::int64_t);
  const bool shared = bytes <= context.shared_bytes();
  // Few rows are cut into shares: enough warps for the device, each with work for its cells.
  const std::size_t wanted = divide_up(kWarpsOfDevice, std::size_t{codes.n});
  const std::size_t most = std::max<std::size_t>(codes.d / (4 * job.cells), 1);
  const dim3 grid(static_cast<unsigned>(codes.n), static_cast<unsigned>(std::min(wanted, most)));
  with_coding(codes.coding, [&](auto coding) {
    constexpr Coding kCoding = decltype(coding)::value;
    if (shared)
      launch_shared(context, sketch_rows<kCoding, true>, grid, 32, bytes, codes, sketch);
    else
      launch(context, sketch_rows<kCoding, false>, grid, 32, codes, sketch);
  });
}

}  // namespace muster::kernels::cuda
