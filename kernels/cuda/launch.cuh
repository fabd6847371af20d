// Shapes: how threads meet memory. An operation is a shape and a functor with the arithmetic.
//
// map:     one thread a coordinate, d -> d.
// columns: down the rows of a few coordinates, [n, d] -> d (columns.cuh).
// Reductions within a warp and a block have one fixed tree each.
#pragma once

#include <algorithm>

#include "base/bytes.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/decode.cuh"

namespace muster::kernels::cuda {

inline constexpr unsigned kThreads = 256;  ///< of a block of the shapes below
/// Of these on a multiprocessor at least. Said to ptxas, which left to itself spills a register or
/// two for a block more.
inline constexpr unsigned kLeastBlocks = 2;
inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;
/// Blocks of kThreads a multiprocessor holds.
inline constexpr unsigned kResidentBlocks = 8;

/// Queues kernel<<<grid, threads>>>(arguments...). Nothing where the grid is empty.
template <class... Parameters, class... Arguments>
void launch(Context& context, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  kernel<<<grid, threads, 0, context.stream()>>>(arguments...);
  must(cudaGetLastError(), "kernel launch");
}

/// Blocks for `units` units of work at `per_block`: at most `waves` times what the device holds, as
/// kernels stride over the rest.
inline unsigned grid_for(const Context& context, std::size_t units, std::size_t per_block,
                         unsigned waves = 4) {
  const auto most = static_cast<std::size_t>(context.multiprocessors()) * kResidentBlocks * waves;
  return static_cast<unsigned>(std::min(divide_up(units, per_block), most));
}

__device__ __forceinline__ size_t thread_index() {
  return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ size_t thread_count() {
  return static_cast<size_t>(gridDim.x) * blockDim.x;
}

/// Sum over the lanes, by halving: lane l takes lane l + 16, then l + 8, ... The order of
/// kernels/canonical.h, valid in lane 0.
template <class T>
__device__ __forceinline__ T fold_lanes(T value) {
#pragma unroll
  for (unsigned width = kWarp / 2; width > 0; width /= 2)
    value += __shfl_down_sync(kAllLanes, value, width);
  return value;
}

/// Adds to a grid sum that other blocks add to as well: modulo 2^64, so that no order matters.
__device__ __forceinline__ void atomic_add(int64_t* target, int64_t step) {
  atomicAdd(reinterpret_cast<unsigned long long*>(target), static_cast<unsigned long long>(step));
}

template <class Cell>
__global__ void __launch_bounds__(kThreads, kLeastBlocks) map_kernel(size_t d, Cell cell) {
  for (size_t k = thread_index(); k < d; k += thread_count()) cell(k);
}

/// cell(k) for k < d.
template <class Cell>
void map(Context& context, std::size_t d, const Cell& cell) {
  launch(context, map_kernel<Cell>, dim3(grid_for(context, d, kThreads)), kThreads, d, cell);
}

}  // namespace muster::kernels::cuda
