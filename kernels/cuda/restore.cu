// restore(): from sums over the coordinates of the rules to sums over those of the model.
//
// HSQ: hadamard.cuh over the sums in f64, then scale, sign and rounding. Reads 8 bytes a coordinate
// and writes 8, with 8 on their way through L2 between the two kernels. On an H100 (3.35 TB/s) at
// most 210 Gcoord/s.
// RANDK: the mask is drawn on the host, where each draw depends on the one before, and goes over as
// a table; then zeros, and one thread a kept coordinate.
#include <vector>

#include "base/codec_random.h"
#include "kernels/cell/window.h"
#include "kernels/cuda/hadamard.cuh"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

struct SumSource {
  const std::int64_t* sums;
  __device__ __forceinline__ double operator()(unsigned, size_t k) const {
    return static_cast<double>(sums[k]);
  }
};

struct RestoredSum {
  Rotations rotations;
  std::uint64_t key;
  std::int64_t* target;
  __device__ __forceinline__ void operator()(unsigned, size_t k, double value) const {
    const unsigned log2 = rotations.stages_at(k);
    // 1 / sqrt(2^log2): exact for even log2, else one rounding of 1 / sqrt(2).
    const double half = (log2 & 1) != 0 ? 0x1.6a09e667f3bcdp-1 : 1.0;
    const double scale = half / static_cast<double>(1u << (log2 / 2));
    const size_t rotation = k >> rotations.log2_block;
    const size_t within = k - (rotation << rotations.log2_block);
    const bool flip = is_flipped(rotation_key(key, rotation), within);
    target[k] = cell::round_even(value * (flip ? -scale : scale));
  }
};

void restore_rotations(const RestoreJob& job, Context& context) {
  const Rotations rotations = rotations_of(job.format, job.d);
  hadamard(context, rotations, 1, SumSource{job.sums}, context.scratch<double>(rotations.length),
           RestoredSum{rotations, job.key, job.target});
}

struct ScatterSum {
  const std::int64_t* sums;
  const std::uint32_t* mask;
  std::int64_t d, kept;
  std::int64_t* target;
  __device__ __forceinline__ void operator()(size_t j) const {
    target[mask[j]] = cell::split_ties(d, sums[j], kept);
  }
};

void restore_mask(const RestoreJob& job, Context& context) {
  std::vector<std::uint32_t> mask(kept_count(job.format, job.d));
  draw_mask(job.key, job.d, mask);
  context.fill_zero(job.target, job.d * sizeof(std::int64_t));
  map(context, mask.size(),
      ScatterSum{job.sums, context.table(std::span<const std::uint32_t>(mask)),
                 static_cast<std::int64_t>(job.d), static_cast<std::int64_t>(mask.size()),
                 job.target});
}

}  // namespace

void restore(const RestoreJob& job, Context& context) {
  MUSTER_CHECK(is_sound(job.format) && in_round_space(job.format.codec));
  if (job.d == 0) return;
  job.format.codec == Codec::kHsq ? restore_rotations(job, context) : restore_mask(job, context);
}

}  // namespace muster::kernels::cuda
