// Squared norms of rows on the grid, exact: what a row adds to the sums, squared and added in
// integers. Reads each code once.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kGridNormStrip = 1024;
static_assert(canonical::kBlock % kGridNormStrip == 0);

template <bool kCentred>
void square_strip(const float* __restrict values, const float* __restrict centre, size_t count,
                  double scaled_factor, SplitSquares* __restrict squares) {
  uint64_t hh = 0, hl = 0, ll = 0;
  for (size_t k = 0; k < count; ++k) {
    int64_t q = cell::to_grid(cell::finite_or_zero(values[k]), scaled_factor);
    if constexpr (kCentred) q += cell::to_grid(cell::finite_or_zero(centre[k]), -scaled_factor);
    constexpr uint64_t kMost = uint64_t{1} << 46;
    const uint64_t bits = static_cast<uint64_t>(q < 0 ? -q : q);
    const uint64_t size = bits < kMost ? bits : kMost;
    const uint64_t high = size >> 23, low = size & 0x7fffff;
    hh += high * high, hl += high * low, ll += low * low;
  }
  squares->hh += hh, squares->hl += hl, squares->ll += ll;
}

/// 4096 terms of at most 2^46 a sum.
void grid_norm(const ChunkView& view, const GridNormView& job, size_t row, size_t block,
               SplitSquares* squares) {
  alignas(64) float values[kGridNormStrip];
  *squares = {};
  const size_t begin = block * canonical::kBlock;
  const size_t end = view.d - begin < canonical::kBlock ? view.d : begin + canonical::kBlock;
  for (size_t k = begin; k < end; k += kGridNormStrip) {
    const size_t count = end - k < kGridNormStrip ? end - k : kGridNormStrip;
    decode_strip(view, row, k, count, values);
    if (job.centre == nullptr)
      square_strip<false>(values, nullptr, count, job.scaled_factors[row], squares);
    else
      square_strip<true>(values, job.centre + k, count, job.scaled_factors[row], squares);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
