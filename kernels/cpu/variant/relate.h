// Rows against one dense vector over one block: squared distances from differences, and dot
// products. The vector is converted once for a group of rows.
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

double sum_products(const double* __restrict a, const double* __restrict b, size_t padded) {
  alignas(64) double lanes[canonical::kLanes];
  for (size_t lane = 0; lane < canonical::kLanes; ++lane) {
    double sum = 0;
    size_t k = 0;
    do {  // never empty, and g++ must see it to put lanes side by side
      sum += a[k + lane] * b[k + lane];
      k += canonical::kLanes;
    } while (k < padded);
    lanes[lane] = sum;
  }
  return canonical::fold(lanes);
}

void scale_reference(const int64_t* __restrict reference, double scale, size_t count,
                     double* __restrict values) {
  for (size_t k = 0; k < count; ++k) values[k] = cell::to_double(reference[k]) * scale;
}

void relate(const ChunkView& view, const RelateView& job, size_t row_begin, size_t row_end,
            size_t block) {
  alignas(64) double row[canonical::kBlock];
  alignas(64) double reference[canonical::kBlock];
  const size_t begin = block * canonical::kBlock;
  const size_t left = view.d - begin;
  const size_t count = left < canonical::kBlock ? left : canonical::kBlock;
  const size_t padded = canonical::padded(count);
  const size_t blocks = canonical::block_count(view.d);
  scale_reference(job.reference + begin, job.scale, count, reference);
  pad_strip(reference, count, padded);
  for (size_t i = row_begin; i < row_end; ++i) {
    decode_strip(view, i, begin, count, row);
    pad_strip(row, count, padded);
    if (job.squared_distances)
      job.squared_distances[i * blocks + block] = sum_square_differences(row, reference, padded);
    if (job.dots) job.dots[i * blocks + block] = sum_products(row, reference, padded);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
