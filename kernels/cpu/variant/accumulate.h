// Rows onto the grid and into the sums: strips small enough that sums and values stay in the first
// cache level while all rows pass. Reads each code once and each sum once a call.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kAccumulateStrip = 2048;

template <bool kWeighted>
void add_strip(const float* __restrict values, size_t count, double scaled_factor, int64_t weight,
               int64_t* __restrict target) {
  for (size_t k = 0; k < count; ++k) {
    const int64_t step = cell::to_grid(cell::finite_or_zero(values[k]), scaled_factor);
    target[k] = cell::add_weighted(target[k], kWeighted ? weight : 1, step);
  }
}

void accumulate(const ChunkView& view, const AccumulateView& job, size_t begin, size_t end) {
  alignas(64) float values[kAccumulateStrip];
  for (size_t k = begin; k < end; k += kAccumulateStrip) {
    const size_t count = end - k < kAccumulateStrip ? end - k : kAccumulateStrip;
    for (size_t row = 0; row < view.n; ++row) {
      if (job.weights[row] == 0) continue;
      decode_strip(view, row, k, count, values);
      if (job.weights[row] == 1)
        add_strip<false>(values, count, job.scaled_factors[row], 1, job.target + k);
      else
        add_strip<true>(values, count, job.scaled_factors[row], job.weights[row], job.target + k);
    }
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
