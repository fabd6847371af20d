// Several GPUs as one backend: coordinates are split by chunk, never devices.
//
// A buffer is cut by chunk (Backend::allocate_by_chunk) or whole on each GPU. A job runs where the
// chunk it touches lies; jobs on whole buffers alone go round. Whole buffers follow the jobs: who
// has the bytes is kept for each, and they move, by one broadcast, when a job somewhere else asks
// for them. Sums over chunks that no order can change (sketches, and Gram matrices of codes with
// shared scales while everything in them is exact) are kept apart on each GPU and added by one
// all-reduce when somebody reads. Other f64 sums have the order of the chunks: they go with the
// matrix from GPU to GPU. So the bytes are those of one GPU, whatever their number.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/backend.h"

namespace muster::kernels::cuda {

/// Of at least two. "cuda_unavailable" where there is no NCCL.
Result<std::unique_ptr<Backend>> make_group(std::vector<std::unique_ptr<DeviceBackend>> devices);

}  // namespace muster::kernels::cuda
