// e^-t for dyadic t in fixed point, with an error bound that is a constant: what lets a comparison
// with a uniform number be certain. Integers only.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

/// A number in [0, 1) in units of 2^(-64 kLimbs), least limb first.
template <int kLimbs>
struct Fraction {
  uint64_t limb[kLimbs];
};

using Wide = unsigned __int128;

/// a * b, rounded down.
template <int kLimbs>
MUSTER_CELL constexpr Fraction<kLimbs> multiply(const Fraction<kLimbs>& a,
                                                const Fraction<kLimbs>& b) {
  uint64_t product[2 * kLimbs] = {};
  for (int i = 0; i < kLimbs; ++i) {
    uint64_t carry = 0;
    for (int j = 0; j < kLimbs; ++j) {
      const Wide sum = Wide{a.limb[i]} * b.limb[j] + product[i + j] + carry;
      product[i + j] = static_cast<uint64_t>(sum);
      carry = static_cast<uint64_t>(sum >> 64);
    }
    product[i + kLimbs] = carry;
  }
  Fraction<kLimbs> top{};
  for (int i = 0; i < kLimbs; ++i) top.limb[i] = product[i + kLimbs];
  return top;
}

/// a / divisor, rounded down; divisor < 2^31. Half limbs, so that 64-bit division will do.
template <int kLimbs>
MUSTER_CELL constexpr Fraction<kLimbs> divide(const Fraction<kLimbs>& a, uint32_t divisor) {
  Fraction<kLimbs> quotient{};
  if constexpr (kLimbs == 1) {
    quotient.limb[0] = a.limb[0] / divisor;
  } else {
    uint64_t rest = 0;
    for (int i = kLimbs; i-- > 0;) {
      const uint64_t high = rest << 32 | a.limb[i] >> 32;
      const uint64_t low = high % divisor << 32 | (a.limb[i] & 0xffffffffu);
      quotient.limb[i] = high / divisor << 32 | low / divisor;
      rest = low % divisor;
    }
  }
  return quotient;
}

/// 1 - a, one unit less.
template <int kLimbs>
MUSTER_CELL constexpr Fraction<kLimbs> complement(const Fraction<kLimbs>& a) {
  Fraction<kLimbs> rest{};
  for (int i = 0; i < kLimbs; ++i) rest.limb[i] = ~a.limb[i];
  return rest;
}

/// How far exp_minus() may be off, in units.
constexpr uint64_t kExpError = uint64_t{1} << 13;

/// e^-t, t = y^2 / 2^(2m + 1) < 128 (that is y < 2^(m + 4)), for m <= 40.
///
/// With f = t / 2^10 < 1/8: g_N = f / N, g_k = f (1 - g_(k+1)) / k, e^-f = 1 - g_1, squared ten
/// times. A step of the series is off by at most 2 + (error before + 1) / 8 units, f by one unit,
/// the series beyond N by less: e^-f by at most 6 units. A squaring doubles the error (e < 1) and
/// rounds down: 7 * 2^10 < 2^13 in the end.
template <int kLimbs>
MUSTER_CELL constexpr Fraction<kLimbs> exp_minus(uint64_t y, int m) {
  constexpr int kSquarings = 10;
  constexpr uint32_t kTerms = kLimbs == 1 ? 13 : 38;  // 8^-14 / 14! < 2^-77, 8^-39 / 39! < 2^-270
  static_assert(kLimbs == 1 || kLimbs == 4);
  const Wide f = Wide{y} * y << (128 - (2 * m + 1 + kSquarings));  // exact, in units of 2^-128
  Fraction<kLimbs> argument{};
  argument.limb[kLimbs - 1] = static_cast<uint64_t>(f >> 64);
  if constexpr (kLimbs > 1) argument.limb[kLimbs - 2] = static_cast<uint64_t>(f);

  Fraction<kLimbs> series = divide(argument, kTerms);
  for (uint32_t k = kTerms - 1; k > 0; --k)
    series = divide(multiply(argument, complement(series)), k);
  Fraction<kLimbs> result = complement(series);
  for (int i = 0; i < kSquarings; ++i) result = multiply(result, result);
  return result;
}

}  // namespace muster::kernels::cell
