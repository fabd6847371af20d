// The CUDA backend. Streams are real: calls queue work and return, and only those that say so wait.
// Results are the bytes of the CPU backend.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/plugin.h"

namespace muster::kernels::cuda {

/// On device 0. Refuses, with the cause in one line, where there is none or its memory is too
/// small.
Result<std::unique_ptr<Backend>> create_backend(const PluginRequest& request);

}  // namespace muster::kernels::cuda
