#include "client/half.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace muster::client {
namespace {

constexpr float kLargestHalf = 65'504;
constexpr float kHalfTooLarge = 65'520;  ///< from here on the nearest is infinity
constexpr std::uint16_t kHalfInfinity = 0x7c00;
constexpr int kHalfMantissaBits = 10;
constexpr int kHalfLeastExponent = -14;

}  // namespace

std::uint16_t to_half(float value) {
  const auto sign = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16 & 0x8000);
  const float magnitude = std::abs(value);
  if (magnitude >= kHalfTooLarge) return static_cast<std::uint16_t>(sign | kHalfInfinity);
  if (magnitude == 0) return sign;
  // In steps of the last place of its binade: exact scaling, then rint (to nearest, ties to even).
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int step = std::max(exponent - 1, kHalfLeastExponent) - kHalfMantissaBits;
  const auto steps = static_cast<std::uint32_t>(std::rint(std::ldexp(magnitude, -step)));
  // Steps of a normal binade run from 2^10; a carry into the next one adds up by itself.
  const auto binade = static_cast<std::uint32_t>(step + kHalfMantissaBits - kHalfLeastExponent);
  return static_cast<std::uint16_t>(sign | ((binade << kHalfMantissaBits) + steps));
}

float from_half(std::uint16_t bits) {
  const int exponent = bits >> kHalfMantissaBits & 0x1f;
  const int mantissa = bits & 0x3ff;
  float magnitude = 0;
  if (exponent == 31) {
    magnitude = mantissa == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), kHalfLeastExponent - kHalfMantissaBits);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::uint16_t to_bfloat(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float from_bfloat(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

std::uint16_t to_half_within(float value, float bound) {
  const std::uint16_t bits = to_half(std::clamp(value, -kLargestHalf, kLargestHalf));
  // Magnitudes are ordered as their bits are.
  return std::abs(from_half(bits)) > bound ? static_cast<std::uint16_t>(bits - 1) : bits;
}

std::uint16_t to_bfloat_within(float value, float bound) {
  const std::uint16_t bits = to_bfloat(value);
  return std::abs(from_bfloat(bits)) > bound ? static_cast<std::uint16_t>(bits - 1) : bits;
}

}  // namespace muster::client
