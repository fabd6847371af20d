#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cell/decode.h"
#include "kernels/cell/grid.h"
#include "kernels/cell/key.h"
#include "kernels/cell/network.h"
#include "kernels/cell/window.h"

namespace muster::kernels::cell {
namespace {

TEST(RoundEven, IsNearbyintUpTo2To63) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const int exponent = static_cast<int>(random() % 80) - 17;
    const double mantissa = static_cast<double>(random() >> 11) * 0x1p-53 + 0.5;
    const double v = std::ldexp(random() % 2 == 0 ? mantissa : -mantissa, exponent);
    ASSERT_EQ(round_even(v), static_cast<std::int64_t>(std::nearbyint(v))) << v;
  }
}

TEST(RoundEven, SettlesTiesToEven) {
  for (const double base : {0.0, 1.0, 2.0, 0x1p31, 0x1p31 + 1, 0x1p32 + 1, 0x1p40 + 1, 0x1p51 + 1})
    for (const double sign : {1.0, -1.0}) {
      const double v = sign * (base + 0.5);
      EXPECT_EQ(round_even(v), static_cast<std::int64_t>(std::nearbyint(v))) << v;
    }
  EXPECT_EQ(round_even(0x1.fffffffffffffp62), INT64_MAX - 1023);
  EXPECT_EQ(round_even(-0x1p63), INT64_MIN);
}

TEST(ToDouble, IsTheConversion) {
  std::mt19937_64 random(11);
  for (const std::int64_t v : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, INT64_MAX,
                               INT64_MIN, (std::int64_t{1} << 53) + 1, -(std::int64_t{1} << 53) - 1,
                               std::int64_t{0xffffffff}, -(std::int64_t{1} << 32)})
    EXPECT_EQ(to_double(v), static_cast<double>(v)) << v;
  for (int i = 0; i < 200'000; ++i) {
    const std::int64_t v = static_cast<std::int64_t>(random()) >> (random() % 64);
    ASSERT_EQ(to_double(v), static_cast<double>(v)) << v;
  }
}

TEST(NearGrid, OfAnyFactorIsTheGridPlusItsOffset) {
  std::mt19937_64 random(13);
  const auto check = [](float x, double factor) {
    ASSERT_LE(std::fabs(static_cast<double>(x) * factor), kNearGrid);
    ASSERT_EQ(to_near_grid_of_any(x, factor) - kNearBits,
              static_cast<std::uint64_t>(to_grid(x, factor)))
        << x << " * " << factor;
  };
  for (int i = 0; i < 200'000; ++i) {
    const float x = std::ldexp(static_cast<float>(static_cast<int>(random() >> 40) - (1 << 23)),
                               static_cast<int>(random() % 40) - 46);
    const double factor =
        std::ldexp(static_cast<double>(random() >> 11), -21 - static_cast<int>(random() % 40));
    if (std::fabs(static_cast<double>(x) * factor) <= kNearGrid)
      check(x, i % 2 == 0 ? factor : -factor);
  }
  for (const float half : {0.5f, 1.5f, 2.5f, -0.5f, -1.5f}) check(half, 1.0);
  check(0x1p20f, 0x1p30);
  check(-0x1p20f, 0x1p30);
  check(1e-45f, 0x1p40);
}

TEST(TwoStepGrid, IsTheGridInTwoParts) {
  std::mt19937_64 random(17);
  const auto check = [](float x, int grid_bits) {
    ASSERT_LE(std::fabs(std::ldexp(static_cast<double>(x), grid_bits)), kTwoStepGrid);
    const TwoStepGrid offsets = two_step_grid(grid_bits);
    std::uint32_t coarse, fine;
    to_two_step_grid(x, offsets.coarse, offsets.fine, coarse, fine);
    const auto steps = static_cast<std::int32_t>(coarse - bits_of(offsets.coarse));
    const auto rest = static_cast<std::int32_t>(fine - bits_of(offsets.fine));
    ASSERT_LE(std::abs(steps), 1 << 22);
    ASSERT_LE(std::abs(rest), 1 << 22);
    ASSERT_EQ(std::int64_t{steps} * (1 << 23) + rest, to_grid(x, std::ldexp(1.0, grid_bits)))
        << x << ", grid bits " << grid_bits;
  };
  for (int i = 0; i < 400'000; ++i) {
    const int grid_bits = static_cast<int>(random() % (2 * kTwoStepBits + 1)) - kTwoStepBits;
    // Up to 2^45 units of the grid, and far below one.
    const int exponent = 45 - static_cast<int>(random() % 72) - grid_bits;
    const float x = std::ldexp(
        static_cast<float>(static_cast<int>(random() % ((1u << 25) + 1)) - (1 << 24)) * 0x1p-24f,
        exponent);
    check(x, grid_bits);
  }
  // Ties of either rounding, with whole steps before them.
  for (const double whole : {0.0, 0x1p22, 0x1p23, 0x1p24, 3 * 0x1p22, 5 * 0x1p22})
    for (const double half : {0.0, 0.5, 1.0, 1.5, 2.5})
      for (const double sign : {1.0, -1.0}) {
        const double units = sign * (whole + half);
        const auto x = static_cast<float>(std::ldexp(units, -34));
        check(x, 34);
      }
  check(0x1p11f, 34);
  check(-0x1p11f, 34);
  check(1e-45f, 40);
}

TEST(ShiftEven, IsDivisionRoundedToEven) {
  for (int q = -128; q <= 127; ++q)
    for (int shift = 0; shift <= 9; ++shift)
      ASSERT_EQ(shift_even(q, shift), static_cast<int>(std::nearbyint(std::ldexp(q, -shift))))
          << q << " >> " << shift;
}

TEST(DecodeF16, IsExactForEveryCode) {
  for (unsigned code = 0; code < 65536; ++code) {
    const int exponent = static_cast<int>(code >> 10) & 31;
    const int mantissa = static_cast<int>(code) & 1023;
    const float value = decode_f16(static_cast<std::uint16_t>(code));
    ASSERT_EQ(std::signbit(value), code >= 0x8000u) << code;
    if (exponent == 31 && mantissa != 0) {
      ASSERT_TRUE(std::isnan(value)) << code;
    } else if (exponent == 31) {
      ASSERT_TRUE(std::isinf(value)) << code;
    } else {
      const int significand = exponent == 0 ? mantissa : 1024 + mantissa;
      const double expected = std::ldexp(significand, std::max(exponent, 1) - 25);
      ASSERT_EQ(std::fabs(value), static_cast<float>(expected)) << code;
    }
  }
}

TEST(PowerOfTwo, IsLdexpForEveryExponent) {
  for (int e = -128; e <= 127; ++e)
    ASSERT_EQ(power_of_two(static_cast<std::int8_t>(e)), std::ldexp(1.0f, e)) << e;
}

TEST(Key, OrdersAsFloatsDoAndMergesZeros) {
  const float inf = std::numeric_limits<float>::infinity();
  const float values[] = {-inf,      -16,       -1, -0x1p-126f, -0x1p-149f, 0,
                          0x1p-149f, 0x1p-126f, 1,  16,         inf};
  for (std::size_t i = 1; i < std::size(values); ++i)
    EXPECT_LT(key_of(values[i - 1]), key_of(values[i]));
  for (const float value : values) EXPECT_EQ(value_of(key_of(value)), value);
  EXPECT_EQ(key_of(-0.0f), key_of(0.0f));
  EXPECT_FALSE(std::signbit(value_of(key_of(-0.0f))));
  EXPECT_LT(key_of(inf), kKeyPastAll);
}

/// A network that sorts all zero-one inputs sorts everything (Knuth, vol. 3, 5.3.4).
template <int N>
void expect_sorts(std::uint64_t inputs, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::uint64_t input = 0; input < inputs; ++input) {
    const std::uint64_t bits = N <= 16 ? input : random();
    int32_t v[N];
    for (int i = 0; i < N; ++i) v[i] = static_cast<int32_t>((bits >> i) & 1);
    sort_network<N>(v);
    ASSERT_TRUE(std::is_sorted(v, v + N)) << "bits " << bits;
  }
}

TEST(Network, SortsEveryZeroOneInput) {
  expect_sorts<8>(1 << 8, 1);
  expect_sorts<16>(1 << 16, 1);
  expect_sorts<32>(20'000, 1);
  expect_sorts<64>(20'000, 1);
}

/// numerator / divisor to the nearest, ties to even, by its definition.
std::int64_t nearest(__int128 numerator, __int128 divisor) {
  __int128 floor = numerator / divisor;
  if (floor * divisor > numerator) --floor;
  const __int128 rest = numerator - floor * divisor;
  const bool up = 2 * rest > divisor || (2 * rest == divisor && floor % 2 != 0);
  return static_cast<std::int64_t>(floor + (up ? 1 : 0));
}

TEST(DivideEven, IsExactAndSettlesTiesToEven) {
  const auto divided = [](std::int64_t numerator, std::int64_t divisor) {
    return divide_even(numerator, divisor, 1.0 / static_cast<double>(divisor));
  };
  EXPECT_EQ(divided(5, 2), 2);
  EXPECT_EQ(divided(7, 2), 4);
  EXPECT_EQ(divided(-5, 2), -2);
  EXPECT_EQ(divided(-7, 2), -4);
  EXPECT_EQ(divided(-1, 3), 0);
  std::mt19937_64 random(8);
  for (int i = 0; i < 100'000; ++i) {
    const auto numerator = static_cast<std::int64_t>(random()) >> (2 + random() % 60);
    const auto divisor = static_cast<std::int64_t>(1 + (random() >> (33 + random() % 30)));
    ASSERT_EQ(divided(numerator, divisor), nearest(numerator, divisor))
        << numerator << " / " << divisor;
    // Ties and their neighbours, at every size.
    const std::int64_t tie = numerator / divisor * divisor + divisor / 2;
    if (std::abs(tie) >= (std::int64_t{1} << 62) - 2) continue;
    for (const std::int64_t near : {tie - 1, tie, tie + 1})
      ASSERT_EQ(divided(near, divisor), nearest(near, divisor)) << near << " / " << divisor;
  }
}

TEST(SplitTies, NeedsNoWiderProduct) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 100'000; ++i) {
    const auto ties = static_cast<std::int64_t>(1 + (random() >> (40 + random() % 23)));
    const auto places = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(ties + 1));
    const auto sum = static_cast<std::int64_t>(random()) >> (2 + random() % 60);
    ASSERT_EQ(split_ties(places, sum, ties), nearest(static_cast<__int128>(places) * sum, ties))
        << places << " * " << sum << " / " << ties;
  }
}

TEST(ScaledDistance, FitsAtTheEdgeOfTheGrid) {
  // n values of 2^62 / n, all but one at the other end: the distances are 2^63 less a little.
  constexpr std::int64_t n = 1024, edge = (std::int64_t{1} << 62) / n;
  const std::int64_t sum = (n - 1) * edge - edge;
  EXPECT_EQ(scaled_distance(-edge, sum, n), 2 * (n - 1) * edge);
  EXPECT_EQ(scaled_distance(edge, sum, n), 2 * edge);
  EXPECT_EQ(scaled_reach(-edge, edge, sum, n), 2 * (n - 1) * edge);
  EXPECT_EQ(scaled_reach(edge, edge, sum, n), 2 * edge);
}

}  // namespace
}  // namespace muster::kernels::cell
