// How shared-scale codes of one block meet the grid.
#pragma once

#include "kernels/cell/grid.h"

namespace muster::kernels::cuda {

/// value = q * 2^left, or q * 2^-right rounded (cell::shift_even).
struct CodeShift {
  int32_t left, right;
};

__device__ __forceinline__ CodeShift code_shift(int exponent, int grid_bits) {
  const int shift = exponent + grid_bits;
  return {shift < 0 ? 0 : shift < 63 ? shift : 63, shift >= 0 ? 0 : shift > -9 ? -shift : 9};
}

/// Grid units, before the shift to the left, of the codes in kBins bins from `bin` on, as far as
/// their ranks are in [low, last). `rank`: of the first of them. counts(i): of bin `bin` + i.
template <int kBins, class Counts>
__device__ __forceinline__ int64_t kept_of_bins(int bin, uint32_t rank, uint32_t low, uint32_t last,
                                                int32_t right, const Counts& counts) {
  int64_t sum = 0;
  uint32_t before = rank < low ? low : rank > last ? last : rank;
#pragma unroll
  for (int i = 0; i < kBins; ++i) {
    rank += counts(i);
    const uint32_t kept = rank < low ? low : rank > last ? last : rank;
    sum += static_cast<int64_t>(kept - before) * cell::shift_even(bin + i - 128, right);
    before = kept;
  }
  return sum;
}

}  // namespace muster::kernels::cuda
