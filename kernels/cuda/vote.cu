// vote(): rows positive at a coordinate, less rows negative.
//
// Shape columns: reads each code once, and 16 bytes a coordinate and cut of the rows for the sums.
// Votes are i32 in registers. Bound by HBM: on an H100 (3.35 TB/s) one read of the codes.
#include "kernels/cell/combine.h"
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

struct Vote {
  using Sum = std::int32_t;
  std::int64_t* target;

  __device__ __forceinline__ Sum start(std::uint32_t, std::uint32_t) const { return 0; }
  template <unsigned kPieces, unsigned kCount>
  __device__ __forceinline__ void add(Sum (&votes)[kPieces][kCount],
                                      const float (&values)[kPieces][kCount], float,
                                      std::uint32_t) const {
#pragma unroll
    for (unsigned i = 0; i < kPieces * kCount; ++i)
      votes[i / kCount][i % kCount] += cell::vote_of(values[i / kCount][i % kCount]);
  }
  __device__ __forceinline__ void finish(size_t k, Sum votes, bool shared) const {
    shared ? atomic_add(target + k, votes) : void(target[k] += votes);
  }
};

}  // namespace

void vote(const VoteJob& job, Context& context) {
  columns(context, context.codes(job.codes), Vote{job.target});
}

}  // namespace muster::kernels::cuda
