// Onto the grid of the round, and back.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

/// round(factor * x * 2^g) with `scaled_factor` = factor * 2^g. One multiplication gives the bits
/// of "factor * x rounded to f64, then scaled exactly": scaling by a power of two commutes with
/// rounding except where the product is subnormal, and there both ways end at zero.
MUSTER_CELL int64_t to_grid(float x, double scaled_factor) {
  return round_even(static_cast<double>(x) * scaled_factor);
}

/// The same for |x * scaled_factor| <= kNearGrid, where scaled_factor is a power of two: the result
/// plus kNearBits, modulo 2^64, in one addition. Adding 1.5 * 2^52 rounds to integers.
constexpr double kNearGrid = 0x1p50;
constexpr uint64_t kNearBits = 0x4338000000000000;
MUSTER_CELL uint64_t to_near_grid(float x, double scaled_factor) {
  return __builtin_bit_cast(uint64_t,
                            add_exact_product(static_cast<double>(x), scaled_factor, 0x1.8p52));
}

/// The same for any scaled_factor, in a multiplication and an addition: to_grid(x, scaled_factor)
/// plus kNearBits, without a conversion to i64.
MUSTER_CELL uint64_t to_near_grid_of_any(float x, double scaled_factor) {
  return __builtin_bit_cast(uint64_t, static_cast<double>(x) * scaled_factor + 0x1.8p52);
}

/// q * 2^-shift rounded to the nearest integer, ties to even; |q| <= 128, 0 <= shift <= 9 (at 9,
/// and so beyond, everything rounds to zero). Works on 2q, so that shift 0 needs no case of its
/// own.
MUSTER_CELL int32_t shift_even(int32_t q, int32_t shift) {
  const int32_t odd = (q >> shift) & 1;
  return (2 * q + (1 << shift) - 1 + odd) >> (shift + 1);
}

/// sum + weight * step modulo 2^64: the sum is right whenever the true one fits, in any order.
MUSTER_CELL int64_t add_weighted(int64_t sum, int64_t weight, int64_t step) {
  return static_cast<int64_t>(static_cast<uint64_t>(sum) +
                              static_cast<uint64_t>(weight) * static_cast<uint64_t>(step));
}

/// round(x * scale) for a scale that is a power of two, within what i32 holds (NaN: the most);
/// negated where the top bit of `sign` is set. 32 bits: twice the lanes of a grid value.
MUSTER_CELL int32_t to_sketch_units(float x, float scale, uint32_t sign) {
  constexpr float kMost = 0x1.fffffep30f;
  const float scaled = float_of(bits_of(x * scale) ^ (sign & 0x80000000u));
  const float low = scaled < kMost ? scaled : kMost;
  const float within = low > -kMost ? low : -kMost;
#if defined(__CUDA_ARCH__)
  return __float2int_rn(within);
#else
  return static_cast<int32_t>(__builtin_rintf(within));
#endif
}

}  // namespace muster::kernels::cell
