// Operations that are not there yet: each leaves with the commit that brings it.
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {
[[noreturn]] void pending(const char* operation) {
  check_failed("the CUDA backend has this operation", __FILE__, __LINE__, operation);
}
}  // namespace

void kept_sum(const KeptSumJob&, Context&) { pending("kept_sum"); }
void window_sum(const WindowSumJob&, Context&) { pending("window_sum"); }
void count(const CountJob&, Context&) { pending("count"); }
void kept_sum_of_counts(const KeptSumOfCountsJob&, Context&) { pending("kept_sum_of_counts"); }
void gram(const GramJob&, Context&) { pending("gram"); }
void pair_distances(const PairDistanceJob&, Context&) { pending("pair_distances"); }
void sketch(const SketchJob&, Context&) { pending("sketch"); }
void relate(const RelateJob&, Context&) { pending("relate"); }

}  // namespace muster::kernels::cuda
