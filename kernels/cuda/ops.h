// The operations of kernels/backend.h on the device, each in a file of its own name. They check
// their jobs as the CPU backend does, queue work on the stream of the context, and return; those
// with results in host memory wait.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/context.h"

namespace muster::kernels::cuda {

/// expand() and restore() have at most this on its way between two kernels, or one row.
inline constexpr std::size_t kTransformBytes = std::size_t{32} << 20;

void inspect(const InspectJob& job, Context& context);
void accumulate(const AccumulateJob& job, Context& context);
void kept_sum(const KeptSumJob& job, Context& context);
void window_sum(const WindowSumJob& job, Context& context);
void count(const CountJob& job, Context& context);
void kept_sum_of_counts(const KeptSumOfCountsJob& job, Context& context);
void gram(const GramJob& job, Context& context);
void pair_distances(const PairDistanceJob& job, Context& context);
void expand(const ExpandJob& job, Context& context);
void restore(const RestoreJob& job, Context& context);
void sketch(const SketchJob& job, Context& context);
void step(const StepJob& job, Context& context);
void relate(const RelateJob& job, Context& context);
void vote(const VoteJob& job, Context& context);
void merge(const MergeJob& job, Context& context);
void elect(std::int64_t* target, std::size_t d, Context& context);
void add_noise(const NoiseJob& job, Context& context);
void grid_norms(const GridNormJob& job, Context& context);

// Scratch that operations take for n rows and chunks of d coordinates, tables of the job aside.
std::size_t gram_scratch_bytes(std::size_t n, std::size_t d);
std::size_t relate_scratch_bytes(std::size_t n, std::size_t d);
std::size_t window_scratch_bytes(std::size_t n, const Device& device);

}  // namespace muster::kernels::cuda
