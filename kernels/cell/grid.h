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

/// The grid value of x in f32 alone, for |x * 2^g| <= kTwoStepGrid, in steps of 2^23 and what is
/// left of one:
///   to_grid(x, 2^g) = coarse * 2^23 + fine,  |coarse| and |fine| <= 2^22.
/// Each comes as the bits of a sum with a constant of TwoStepGrid, which are those of the constant
/// plus the integer. Steps are even, so the second rounding breaks ties as one of the whole would.
/// T: float or a vector of floats; U: unsigned integers as wide.
constexpr double kTwoStepGrid = 0x1p45;
/// |g| for which the constants are normal numbers.
constexpr int kTwoStepBits = 80;
struct TwoStepGrid {
  float coarse, fine;  ///< 1.5 * 2^23 steps, and as many units of the grid
};
MUSTER_CELL TwoStepGrid two_step_grid(int grid_bits) {
  const auto power = [](int exponent) {
    return float_of(static_cast<uint32_t>(exponent + 127) << 23);
  };
  return {1.5f * power(46 - grid_bits), 1.5f * power(23 - grid_bits)};
}
template <class T, class U>
MUSTER_CELL void to_two_step_grid(T x, T coarse_offset, T fine_offset, U& coarse, U& fine) {
  const T steps = x + coarse_offset;
  const T rest = x - (steps - coarse_offset);
  coarse = __builtin_bit_cast(U, steps);
  fine = __builtin_bit_cast(U, rest + fine_offset);
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
