// All CPU kernels of one instruction-set level. Compiled once a level with MUSTER_CPU_LEVEL set to
// its namespace; includes cells, plain headers and C headers only (see table.h).
#include "kernels/cpu/variant/accumulate.h"
#include "kernels/cpu/variant/combine.h"
#include "kernels/cpu/variant/count.h"
#include "kernels/cpu/variant/distance.h"
#include "kernels/cpu/variant/estimate.h"
#include "kernels/cpu/variant/gram.h"
#include "kernels/cpu/variant/grid_norm.h"
#include "kernels/cpu/variant/hadamard.h"
#include "kernels/cpu/variant/inspect.h"
#include "kernels/cpu/variant/kept_sum.h"
#include "kernels/cpu/variant/noise.h"
#include "kernels/cpu/variant/relate.h"
#include "kernels/cpu/variant/sketch.h"
#include "kernels/cpu/variant/step.h"
#include "kernels/cpu/variant/vote.h"
#include "kernels/cpu/variant/window.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {

const KernelTable kTable = {
    .inspect = inspect,
    .accumulate = accumulate,
    .kept_sum = kept_sum,
    .kept_sum_scratch = kept_sum_scratch,
    .count = count,
    .kept_sum_of_counts = kept_sum_of_counts,
    .window_sum = window_sum,
    .gram = gram,
#if defined(MUSTER_CPU_ESTIMATES)
    .estimate_gram = estimate_gram,
#else
    .estimate_gram = nullptr,
#endif
    .sketch = sketch,
    .distances = distances,
    .expand_eden = expand_eden,
    .unrotate = unrotate,
    .sgd = step_sgd,
    .momentum = step_momentum,
    .adam = step_adam,
    .yogi = step_yogi,
    .adagrad = step_adagrad,
    .relate = relate,
    .vote = vote,
    .merge = merge,
    .elect = elect,
    .add_noise = add_noise,
    .grid_norm = grid_norm,
};

}  // namespace muster::kernels::MUSTER_CPU_LEVEL
