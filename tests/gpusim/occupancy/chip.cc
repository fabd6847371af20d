#include "tests/gpusim/occupancy/chip.h"

#include <cuda_occupancy.h>
#include <cuda_runtime_api.h>

#include <cstddef>

namespace gpusim {
namespace {

// From the tables of compute capabilities in the CUDA programming guide.
cudaDeviceProp properties(int chip) {
  cudaDeviceProp p{};
  p.major = chip / 10;
  p.minor = chip % 10;
  p.warpSize = 32;
  p.maxThreadsPerBlock = 1024;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.maxThreadsPerMultiProcessor = chip == 75 ? 1024 : 2048;
  p.multiProcessorCount = chip == 75 ? 40 : chip == 80 ? 108 : 132;
  const int kib = chip == 75 ? 64 : chip == 80 ? 164 : 228;
  p.reservedSharedMemPerBlock = chip == 75 ? 0 : 1024;
  p.sharedMemPerBlock = 48 << 10;
  p.sharedMemPerMultiprocessor = static_cast<std::size_t>(kib) << 10;
  p.sharedMemPerBlockOptin = p.sharedMemPerMultiprocessor - p.reservedSharedMemPerBlock;
  return p;
}

}  // namespace

Occupancy occupancy(int chip, int threads, int registers, int static_shared, int dynamic_shared) {
  const cudaDeviceProp chip_properties = properties(chip);
  const cudaOccDeviceProp device(chip_properties);
  cudaOccFuncAttributes kernel;
  kernel.maxThreadsPerBlock = 1024;
  kernel.numRegs = registers;
  kernel.sharedSizeBytes = static_cast<std::size_t>(static_shared);
  kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  kernel.maxDynamicSharedSizeBytes =
      chip_properties.sharedMemPerBlockOptin - kernel.sharedSizeBytes;
  kernel.numBlockBarriers = 1;
  const cudaOccDeviceState state;
  cudaOccResult result{};
  if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads,
                                              static_cast<std::size_t>(dynamic_shared)) !=
      CUDA_OCC_SUCCESS) {
    return {};
  }
  const auto limits = static_cast<unsigned>(result.limitingFactors);
  Occupancy out;
  out.blocks = result.activeBlocksPerMultiprocessor;
  out.share =
      static_cast<double>(out.blocks) * threads / chip_properties.maxThreadsPerMultiProcessor;
  out.limit = (limits & OCC_LIMIT_WARPS) != 0           ? "warps"
              : (limits & OCC_LIMIT_REGISTERS) != 0     ? "registers"
              : (limits & OCC_LIMIT_SHARED_MEMORY) != 0 ? "shared memory"
                                                        : "blocks";
  return out;
}

}  // namespace gpusim
