// The ground under the cells: how one is declared, and the few things a platform says differently.
//
// A cell is the arithmetic of one lane: values in, values out, no memory, no branches a vector
// could not take. Cells are always inlined, so that a copy compiled for one instruction set can
// never be linked into another, and use no libm but sqrt and fma. All platforms give equal bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__CUDACC__)
#define MUSTER_CELL __host__ __device__ __forceinline__
#else
#define MUSTER_CELL inline __attribute__((always_inline))
#endif

namespace muster::kernels::cell {

MUSTER_CELL uint32_t bits_of(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return __builtin_bit_cast(uint32_t, x);
#endif
}

MUSTER_CELL float float_of(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

/// v rounded to the nearest integer, ties to even. Exact for |v| < 2^63; beyond, unspecified.
MUSTER_CELL int64_t round_even(double v) {
#if defined(__CUDA_ARCH__)
  return __double2ll_rn(v);
#elif defined(__AVX512DQ__) || defined(__aarch64__)
  const double rounded = __builtin_rint(v);  // in one expression g++ makes it a scalar lrint
  return static_cast<int64_t>(rounded);
#else
  // No vector conversion to i64 here. Adding 1.5 * 2^52 leaves the rounded integer in the low
  // mantissa bits for |v| <= 2^51, so v is cut into a multiple of 2^32 and an exact remainder of at
  // most 2^31; the multiple is even, so the tie of the remainder is the tie of v.
  constexpr double kMagic = 0x1.8p52;
  constexpr uint64_t kMagicBits = 0x4338000000000000;
  const double shifted = v * 0x1p-32 + kMagic;
  const uint64_t high = __builtin_bit_cast(uint64_t, shifted) - kMagicBits;
  const double rest = v - (shifted - kMagic) * 0x1p32;
  const uint64_t low = __builtin_bit_cast(uint64_t, rest + kMagic) - kMagicBits;
  return static_cast<int64_t>((high << 32) + low);
#endif
}

/// v as f64, rounded once to nearest even: what a conversion instruction gives.
MUSTER_CELL double to_double(int64_t v) {
#if defined(__CUDA_ARCH__) || defined(__AVX512DQ__) || defined(__aarch64__)
  return static_cast<double>(v);
#else
  // No vector conversion here either. The halves become exact doubles by their bits: the low one
  // above 2^52, the high one, moved up by 2^31 so that it is not negative, in units of 2^32 above
  // 2^84. Taking both offsets from the high part is exact, so that only the last sum rounds.
  const uint64_t bits = static_cast<uint64_t>(v);
  const uint64_t low_bits = (bits & 0xffffffffu) | 0x4330000000000000;
  const uint64_t high_bits = (bits >> 32) ^ 0x4530000080000000;
  const double high = __builtin_bit_cast(double, high_bits) - 0x1.00000801p84;
  return high + __builtin_bit_cast(double, low_bits);
#endif
}

/// a * b + c where the caller knows that a * b is exact in f64 (two f32 values, say): fused or not,
/// the result is the same, so it is fused where the hardware can.
MUSTER_CELL double add_exact_product(double a, double b, double c) {
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

MUSTER_CELL int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
MUSTER_CELL int32_t larger(int32_t a, int32_t b) { return a < b ? b : a; }

}  // namespace muster::kernels::cell
