// Which kernels this processor runs.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/table.h"

namespace muster::kernels {

/// The kernels of `level`, or null where this build has none.
const KernelTable* kernel_table(CpuLevel level);

}  // namespace muster::kernels
