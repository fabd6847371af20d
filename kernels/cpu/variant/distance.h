// Squared distances of pairs of rows over one block, from differences: no cancellation. Pairs that
// share their first row and follow one another are measured together.
#pragma once

#include "kernels/cell/network.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr int kPairsTogether = 4;

/// Adds depth coordinates (whole rounds of lanes) to the lanes of each pair: a against rows of b,
/// kGramPitch apart. The folds keep a sum for each pair in a register.
template <int... P>
MUSTER_CELL void add_square_differences(const double* __restrict a, const double* __restrict b,
                                        size_t depth, double* __restrict lanes,
                                        cell::Indices<P...>) {
  constexpr size_t kLanes = canonical::kLanes;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    double sum[] = {lanes[P * kLanes + lane]...};
    for (size_t k = 0; k < depth; k += kLanes) {
      const double row = a[k + lane];
      const double difference[] = {(row - b[P * kGramPitch + k + lane])...};
      ((sum[P] = sum[P] + difference[P] * difference[P]), ...);
    }
    ((lanes[P * kLanes + lane] = sum[P]), ...);
  }
}

/// sums[p] of the pairs (i, others[2 p]), at most kPairsTogether.
void distances_to(const ChunkView& view, size_t i, const uint32_t* others, size_t count,
                  size_t block, double* sums) {
  alignas(64) double lanes[kPairsTogether * canonical::kLanes] = {};
  alignas(64) double a[kGramDepth];
  alignas(64) double b[kPairsTogether * kGramPitch] = {};
  const size_t begin = block * canonical::kBlock;
  const size_t left = view.d - begin;
  const size_t length = left < canonical::kBlock ? left : canonical::kBlock;
  for (size_t k = 0; k < length; k += kGramDepth) {
    const size_t depth = length - k < kGramDepth ? length - k : kGramDepth;
    const size_t padded = canonical::padded(depth);
    decode_strip(view, i, begin + k, depth, a);
    pad_strip(a, depth, padded);
    for (size_t p = 0; p < count; ++p) {
      decode_strip(view, others[2 * p], begin + k, depth, b + p * kGramPitch);
      pad_strip(b + p * kGramPitch, depth, padded);
    }
    add_square_differences(a, b, padded, lanes, cell::IndicesUpTo<kPairsTogether>::type{});
  }
  for (size_t p = 0; p < count; ++p) sums[p] = canonical::fold(lanes + p * canonical::kLanes);
}

void distances(const ChunkView& view, const uint32_t* pairs, size_t count, size_t block,
               double* sums) {
  for (size_t p = 0; p < count;) {
    size_t together = 1;
    while (together < kPairsTogether && p + together < count &&
           pairs[2 * (p + together)] == pairs[2 * p])
      ++together;
    distances_to(view, pairs[2 * p], pairs + 2 * p + 1, together, block, sums + p);
    p += together;
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
