// Squared norms of rows on the grid, exact: what a row adds to the sums, squared and added. Sizes
// are cut into integers of 23 bits, whose products and sums f64 holds exactly: vectors have those
// everywhere, products of i64 hardly. Reads each code once.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kGridNormStrip = 1024;
constexpr size_t kGridNormLanes = 16;
static_assert(canonical::kBlock % kGridNormStrip == 0);

/// sizes[k] = |q| as f64, exact: up to 2^46 integers are, and so are sums of two that end up there.
template <bool kCentred>
void grid_sizes(const float* __restrict values, const float* __restrict centre, size_t count,
                double scaled_factor, double* __restrict sizes) {
  for (size_t k = 0; k < count; ++k) {
    double q = __builtin_rint(static_cast<double>(cell::finite_or_zero(values[k])) * scaled_factor);
    if constexpr (kCentred)
      q += __builtin_rint(static_cast<double>(cell::finite_or_zero(centre[k])) * -scaled_factor);
    const double size = __builtin_fabs(q);
    sizes[k] = size < 0x1p46 ? size : 0x1p46;
  }
}

/// A lane adds 64 squares of at most 2^46: exact in f64, whatever the order.
void square_strip(const double* __restrict sizes, size_t padded, SplitSquares* squares) {
  static_assert(kGridNormStrip / kGridNormLanes <= 64);
  alignas(64) double hh[kGridNormLanes] = {}, hl[kGridNormLanes] = {}, ll[kGridNormLanes] = {};
  for (size_t k = 0; k < padded; k += kGridNormLanes)
    for (size_t lane = 0; lane < kGridNormLanes; ++lane) {
      const double size = sizes[k + lane];
      const double high = __builtin_floor(size * 0x1p-23);
      const double low = cell::add_exact_product(high, -0x1p23, size);
      hh[lane] = cell::add_exact_product(high, high, hh[lane]);
      hl[lane] = cell::add_exact_product(high, low, hl[lane]);
      ll[lane] = cell::add_exact_product(low, low, ll[lane]);
    }
  for (size_t lane = 0; lane < kGridNormLanes; ++lane) {
    squares->hh += static_cast<uint64_t>(hh[lane]);
    squares->hl += static_cast<uint64_t>(hl[lane]);
    squares->ll += static_cast<uint64_t>(ll[lane]);
  }
}

void grid_norm(const ChunkView& view, const GridNormView& job, size_t row, size_t block,
               SplitSquares* squares) {
  alignas(64) float values[kGridNormStrip];
  alignas(64) double sizes[kGridNormStrip];
  *squares = {};
  const size_t begin = block * canonical::kBlock;
  const size_t end = view.d - begin < canonical::kBlock ? view.d : begin + canonical::kBlock;
  for (size_t k = begin; k < end; k += kGridNormStrip) {
    const size_t count = end - k < kGridNormStrip ? end - k : kGridNormStrip;
    decode_strip(view, row, k, count, values);
    if (job.centre == nullptr)
      grid_sizes<false>(values, nullptr, count, job.scaled_factors[row], sizes);
    else
      grid_sizes<true>(values, job.centre + k, count, job.scaled_factors[row], sizes);
    const size_t padded = (count + kGridNormLanes - 1) / kGridNormLanes * kGridNormLanes;
    pad_strip(sizes, count, padded);
    square_strip(sizes, padded, squares);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
