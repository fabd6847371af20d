// Shapes: how threads meet memory. An operation is a shape and a functor with the arithmetic.
//
// map:     one thread a coordinate, d -> d.
// columns: one thread a group of coordinates (decode.cuh), which walks down the rows, [n, d] -> d.
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

/// Rows a thread of `columns` walks at least: below, adding to the sums would cost more than codes.
inline constexpr std::uint32_t kColumnRows = 64;

/// The kernel of columns(). Rows are cut over blockIdx.y, `rows_each` a cut.
template <Coding kCoding, class Cell>
__global__ void __launch_bounds__(kThreads, kLeastBlocks)
    columns_kernel(CodesView codes, Cell cell, std::uint32_t rows_each) {
  constexpr unsigned kCount = kGroup<kCoding>;
  const std::uint32_t first = blockIdx.y * rows_each;
  const std::uint32_t last = min(codes.n, first + rows_each);
  for (size_t k = thread_index() * kCount; k < codes.d; k += thread_count() * kCount) {
    typename Cell::Sum sums[kCount] = {};
#pragma unroll 4
    for (std::uint32_t row = first; row < last; ++row) {
      float values[kCount];
      load_group<kCoding>(codes, codes.rows[row], k, values);
      const auto weight = cell.of_row(row);
#pragma unroll
      for (unsigned j = 0; j < kCount; ++j) sums[j] = cell.add(sums[j], values[j], weight);
    }
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j)
      if (k + j < codes.d) cell.finish(k + j, sums[j], gridDim.y > 1);
  }
}

/// How columns() cuts its work.
struct Columns {
  dim3 grid;
  std::uint32_t rows_each;
};

/// Threads for groups of `group` coordinates; where those would not fill the device, rows are cut
/// as well, to no fewer than kColumnRows each.
inline Columns columns_shape(const Context& context, const CodesView& codes, std::size_t group) {
  const unsigned blocks = grid_for(context, divide_up(codes.d, group), kThreads);
  const unsigned resident = static_cast<unsigned>(context.multiprocessors()) * kResidentBlocks;
  const std::uint32_t cuts = std::clamp(resident / blocks, 1u, divide_up(codes.n, kColumnRows));
  const std::uint32_t rows_each = divide_up(codes.n, cuts);
  return {dim3(blocks, divide_up(codes.n, rows_each)), rows_each};
}

/// For each coordinate: sum = cell.add(sum, value, cell.of_row(row)) over the rows, from Sum{},
/// then cell.finish(k, sum, shared). Where the rows are cut each cut finishes; then `shared` is
/// true, and finish() adds atomically.
template <class Cell>
void columns(Context& context, const CodesView& codes, const Cell& cell) {
  if (codes.n == 0 || codes.d == 0) return;
  with_coding(codes.coding, [&](auto tag) {
    constexpr Coding kCoding = decltype(tag)::value;
    const Columns shape = columns_shape(context, codes, kGroup<kCoding>);
    launch(context, columns_kernel<kCoding, Cell>, shape.grid, kThreads, codes, cell,
           shape.rows_each);
  });
}

}  // namespace muster::kernels::cuda
