// Which kernels this processor runs.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/table.h"

namespace muster::kernels {

struct LevelKernels {
  const KernelTable* table = nullptr;
  std::string_view extensions;  ///< what they use beyond the level: "" or "+vnni"
};

/// The kernels of `level`, with what this processor has beyond it if `extensions`; a null table
/// where this build has none.
LevelKernels level_kernels(CpuLevel level, bool extensions);

}  // namespace muster::kernels
