// Launches of kernels that carve their shared memory themselves.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace muster::kernels::cuda {

/// Shared memory that every launch may ask for without being told.
inline constexpr std::size_t kPlainSharedBytes = 48 * 1024;

/// As launch(), with `shared` bytes of dynamic shared memory, at most context.shared_bytes().
template <class... Parameters, class... Arguments>
void launch_shared(Context& context, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
                   std::size_t shared, const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  MUSTER_CHECK_OP(shared, <=, context.shared_bytes());
  if (shared > kPlainSharedBytes)
    MUSTER_CUDA(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                     cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(shared)));
  kernel<<<grid, threads, shared, context.stream()>>>(arguments...);
  must(cudaGetLastError(), "kernel launch");
}

/// divide_up() as the extent of a grid.
inline unsigned blocks_for(std::size_t units, std::size_t per_block) {
  return static_cast<unsigned>(divide_up(units, per_block));
}

}  // namespace muster::kernels::cuda
