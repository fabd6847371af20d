#include "tests/gpusim/ptx/small_float.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace gpusim {
namespace {

// A sign, 15 - kMantissa bits of exponent, kMantissa bits of mantissa.
template <int kMantissa>
std::uint16_t narrow(double value, bool toward_zero) {
  constexpr int kBias = (1 << (14 - kMantissa)) - 1;
  constexpr std::uint16_t kInfinity = ((1 << (15 - kMantissa)) - 1) << kMantissa;
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return 0x7fff;
  if (std::isinf(value)) return sign | kInfinity;
  if (value == 0) return sign;
  const int exponent = std::max(std::ilogb(value), 1 - kBias);
  const double scaled = std::ldexp(std::fabs(value), kMantissa - exponent);
  const double rounded = toward_zero ? std::trunc(scaled) : std::nearbyint(scaled);
  if (exponent > kBias)
    return sign | static_cast<std::uint16_t>(toward_zero ? kInfinity - 1 : kInfinity);
  // The hidden bit of a normal number adds one to the exponent; so does a carry of the rounding.
  const int bits = ((exponent + kBias - 1) << kMantissa) + static_cast<int>(rounded);
  const int limit = toward_zero ? kInfinity - 1 : kInfinity;
  return sign | static_cast<std::uint16_t>(std::min(bits, limit));
}

}  // namespace

float widen(BrainFloat value) { return std::bit_cast<float>(std::uint32_t{value.bits} << 16); }

float widen(Half value) {
  const std::uint32_t sign = (value.bits & 0x8000U) << 16;
  const std::uint32_t exponent = value.bits >> 10 & 31, mantissa = value.bits & 1023;
  if (exponent == 0) {
    const float tiny = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -tiny : tiny;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

Half narrow_half(double value, bool toward_zero) { return Half{narrow<10>(value, toward_zero)}; }

BrainFloat narrow_brain(double value, bool toward_zero) {
  return BrainFloat{narrow<7>(value, toward_zero)};
}

double fused_for_narrowing(double a, double b, double c) {
  // The product of two 16-bit floats is exact in double; the sum may not be. Rounding it to odd
  // keeps what is below the last bit visible to the second rounding.
  const double product = a * b;
  const double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double back = sum - product;
  const double lost = (product - (sum - back)) + (c - back);
  if (lost == 0 || (std::bit_cast<std::uint64_t>(sum) & 1) != 0) return sum;
  return std::nextafter(sum, lost > 0 ? HUGE_VAL : -HUGE_VAL);
}

}  // namespace gpusim
