// All CPU kernels of one instruction-set level. Compiled once a level with MUSTER_CPU_LEVEL set to
// its namespace; includes cells, plain headers and C headers only (see table.h).
#include "kernels/cpu/variant/accumulate.h"
#include "kernels/cpu/variant/distance.h"
#include "kernels/cpu/variant/gram.h"
#include "kernels/cpu/variant/inspect.h"
#include "kernels/cpu/variant/kept_sum.h"
#include "kernels/cpu/variant/sketch.h"
#include "kernels/cpu/variant/step.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {

const KernelTable kTable = {inspect, accumulate, kept_sum,      gram,     distance,
                            sketch,  step_sgd,   step_momentum, step_adam};

}  // namespace muster::kernels::MUSTER_CPU_LEVEL
