// Sums on the grid that become other sums on the grid, over a range of coordinates.
#pragma once

#include "kernels/cell/combine.h"
#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

void merge(const MergeView& job, size_t begin, size_t end) {
  const int64_t* __restrict sum = job.sum;
  int64_t* __restrict target = job.target;
  const double pull = job.pull, divisor = job.divisor;
  for (size_t k = begin; k < end; ++k) target[k] = cell::merged(target[k], sum[k], pull, divisor);
}

void elect(int64_t* __restrict target, size_t begin, size_t end) {
  for (size_t k = begin; k < end; ++k) target[k] = cell::sign_of(target[k]);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
