// merge() and elect(): sums on the grid that become other sums on the grid.
//
// Shape map. merge reads 16 bytes a coordinate and writes 8, elect reads 8 and writes 8; an f64
// division and three conversions hide behind that. On an H100 (3.35 TB/s) no more than 140 Gcoord/s
// and 210 Gcoord/s.
#include "kernels/cell/combine.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

struct Merge {
  const std::int64_t* sum;
  std::int64_t* target;
  double pull, divisor;
  __device__ __forceinline__ void operator()(size_t k) const {
    target[k] = cell::merged(target[k], sum[k], pull, divisor);
  }
};

struct Elect {
  std::int64_t* target;
  __device__ __forceinline__ void operator()(size_t k) const {
    target[k] = cell::sign_of(target[k]);
  }
};

}  // namespace

void merge(const MergeJob& job, Context& context) {
  map(context, job.d, Merge{job.sum, job.target, job.pull, job.divisor});
}

void elect(std::int64_t* target, std::size_t d, Context& context) {
  map(context, d, Elect{target});
}

}  // namespace muster::kernels::cuda
