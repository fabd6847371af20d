// Squared distance of two rows over one block, from differences: no cancellation.
#pragma once

#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

double sum_square_differences(const double* __restrict a, const double* __restrict b,
                              size_t padded) {
  alignas(64) double lanes[canonical::kLanes];
  for (size_t lane = 0; lane < canonical::kLanes; ++lane) {
    double sum = 0;
    size_t k = 0;
    do {  // never empty, and g++ must see it to put lanes side by side
      const double difference = a[k + lane] - b[k + lane];
      sum += difference * difference;
      k += canonical::kLanes;
    } while (k < padded);
    lanes[lane] = sum;
  }
  return canonical::fold(lanes);
}

double distance(const ChunkView& view, size_t i, size_t j, size_t block) {
  alignas(64) double a[canonical::kBlock];
  alignas(64) double b[canonical::kBlock];
  const size_t begin = block * canonical::kBlock;
  const size_t left = view.d - begin;
  const size_t count = left < canonical::kBlock ? left : canonical::kBlock;
  decode_strip(view, i, begin, count, a);
  decode_strip(view, j, begin, count, b);
  pad_strip(a, count, canonical::padded(count));
  pad_strip(b, count, canonical::padded(count));
  return sum_square_differences(a, b, canonical::padded(count));
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
