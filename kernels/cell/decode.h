// From one code to its value.
//
// Coordinate arithmetic (accumulate, kept sums, bounds) sees f32: the exact value for F32, F16,
// BF16, SIGN1 and shared scales, scale * q rounded once to f32 for I8B and I4B. Geometry (norms,
// Gram, distances) sees the real value of the code, which fits f64 for every codec. The value of an
// HSQ code is an f32 by definition, so that both see the same.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

/// The numbers of muster::Codec, repeated so that cells include nothing of the library.
enum class Coding : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kBF16 = 2,
  kI8B = 3,
  kI8S = 4,
  kI4B = 5,
  kI4S = 6,
  kSign1 = 7,
  kHsq = 11
};

/// value = scale * q with a small integer q.
MUSTER_CELL constexpr bool is_integer(Coding coding) {
  return coding >= Coding::kI8B && coding <= Coding::kSign1;
}
/// The scales are powers of two that all rows of the round share.
MUSTER_CELL constexpr bool shares_scales(Coding coding) {
  return coding == Coding::kI8S || coding == Coding::kI4S;
}

/// Exact; infinities and NaNs stay what they are.
MUSTER_CELL float decode_f16(uint16_t half) {
  const uint32_t sign = (uint32_t{half} & 0x8000u) << 16;
  const uint32_t magnitude = uint32_t{half} & 0x7fffu;
  const uint32_t subnormal =
      bits_of(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  const uint32_t rebias = magnitude >= 0x7c00u ? 224u << 23 : 112u << 23;
  const uint32_t normal = (magnitude << 13) + rebias;
  return float_of(sign | (magnitude < 0x400u ? subnormal : normal));
}

MUSTER_CELL float decode_bf16(uint16_t top) { return float_of(uint32_t{top} << 16); }

/// I8B and I8S (whose scale is a power of two, so that nothing is rounded).
MUSTER_CELL float decode_i8(float scale, int8_t q) { return scale * static_cast<float>(q); }
/// The same of a code that is a float already.
MUSTER_CELL float decode_code(float scale, float q) { return scale * q; }
/// The same without rounding: 24 + 8 bits fit f64.
MUSTER_CELL double decode_i8_exact(float scale, int8_t q) {
  return static_cast<double>(scale) * static_cast<double>(q);
}

/// q of the low and of the high half of a byte: two's complement of 4 bits.
MUSTER_CELL int8_t low_code(uint8_t byte) {
  return static_cast<int8_t>(static_cast<int8_t>(byte << 4) >> 4);
}
MUSTER_CELL int8_t high_code(uint8_t byte) {
  return static_cast<int8_t>(static_cast<int8_t>(byte) >> 4);
}

/// Level `code` of an HSQ rotation: the product is exact in f64 (24 + 8 bits), the sum is rounded
/// to f64 and then to f32.
MUSTER_CELL float hsq_level(float low, float step, uint32_t code) {
  return static_cast<float>(static_cast<double>(low) +
                            static_cast<double>(step) * static_cast<double>(code));
}

/// 2^exponent; exact for every int8 (2^-127 and 2^-128 are subnormal).
MUSTER_CELL float power_of_two(int8_t exponent) {
  const int32_t e = exponent;
  return e >= -126 ? float_of(static_cast<uint32_t>(e + 127) << 23)
                   : float_of(uint32_t{1} << (e + 149));
}

/// Bits of |x|: they order as the magnitudes do, non-finite values last.
MUSTER_CELL uint32_t magnitude_bits(float x) { return bits_of(x) & 0x7fffffffu; }
constexpr uint32_t kInfinityBits = 0x7f800000u;

/// x, or +0 where x is NaN or infinite.
MUSTER_CELL float finite_or_zero(float x) {
  return float_of(magnitude_bits(x) < kInfinityBits ? bits_of(x) : 0u);
}

}  // namespace muster::kernels::cell
