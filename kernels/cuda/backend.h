// The CUDA backend. Streams are real: calls queue work and return, and only those that say so wait.
// Results are the bytes of the CPU backend.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/watchdog.h"
#include "kernels/plugin.h"

namespace muster::kernels::cuda {

/// The backend of one GPU, and what a group of them needs beside Backend.
class DeviceBackend : public Backend {
 public:
  virtual const Device& device() const = 0;
  virtual cudaStream_t stream(Stream stream) const = 0;
};

/// Takes the memory of GPU `ordinal`. Refuses, with the cause in one line, where it is too small.
Result<std::unique_ptr<DeviceBackend>> open_device(int ordinal, const MemoryBudget& budget,
                                                   std::shared_ptr<Watchdog> watchdog);

/// On all GPUs that are asked for. Refuses, with the cause in one line, where there are not so many
/// or their memory is too small; `gpu_found`: that there is one at all.
Result<std::unique_ptr<Backend>> create_backend(const PluginRequest& request, bool& gpu_found);

}  // namespace muster::kernels::cuda
