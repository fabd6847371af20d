// Which backend this run has: [backend] of the configuration, the machine, and what the run before
// left behind when its GPU failed.
#pragma once

#include <memory>
#include <string>

#include "base/stats.h"
#include "base/storage.h"
#include "kernels/backend.h"
#include "server/config.h"

namespace muster::server {

struct BackendChoice {
  std::unique_ptr<kernels::Backend> backend;
  /// Why a node that must not fall back to the CPU is not ready ("gpu_unusable"); else empty.
  std::string unready;
};

/// One line says what was chosen and why. Counts muster_backend_fallbacks_total and
/// muster_gpu_errors_total. When a GPU fails later it is noted in `data_dir`, before the process
/// ends with 69; `auto` that may fall back then serves the next run with the CPU, so that a round
/// that the GPU cannot do gets done, and the run after tries the GPU again. `storage`: lives as
/// long as the process may fail.
Result<BackendChoice> choose_backend(const Config& config, std::size_t slab_bytes, Storage& storage,
                                     Stats& stats);

}  // namespace muster::server
