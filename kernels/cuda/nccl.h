// NCCL behind kernels/collective.h. Loaded when there are several devices: one needs no NCCL.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/collective.h"

namespace muster::kernels::cuda {

/// Where a rank computes.
struct Rank {
  int device;           ///< ordinal
  cudaStream_t stream;  ///< its collectives are queued here
};

/// "cuda_unavailable" where there is no libnccl.so.2, or it does not start on these devices.
Result<std::unique_ptr<Collective>> open_nccl(std::vector<Rank> ranks);

}  // namespace muster::kernels::cuda
