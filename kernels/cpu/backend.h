// The CPU backend. Streams are immediate: a call returns when its work is done, events have passed.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace muster::kernels {

/// "cpu_level_unsupported" where this processor or build lacks the level.
Result<std::unique_ptr<Backend>> create_cpu_backend(const BackendOptions& options);

}  // namespace muster::kernels
