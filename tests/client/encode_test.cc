#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "client/client.h"
#include "client/half.h"
#include "client/random.h"

namespace muster::client {
namespace {

wire::Assignment assignment(Codec codec, std::uint64_t dimension, std::uint32_t chunk,
                            std::uint8_t log2_block = 0) {
  wire::Assignment a;
  a.task = 1;
  a.round = 1;
  a.dimension = dimension;
  a.chunk_coordinates = chunk;
  a.format = {codec, log2_block};
  a.value_bound = 16;
  return a;
}

/// What a server reads, written down independently: docs of base/codec.h.
std::vector<float> decode(const wire::Assignment& a, const EncodedUpdate& update) {
  std::vector<float> values;
  const std::size_t block = std::size_t{1} << a.format.log2_block;
  for (const auto& chunk : update.chunks) {
    const std::size_t start = values.size();
    const std::size_t d = std::min<std::size_t>(a.chunk_coordinates, a.dimension - start);
    EXPECT_EQ(chunk.size(), payload_bytes(a.format, d));
    const std::size_t codes = 4 * scale_count(a.format, d);
    for (std::size_t i = 0; i < d; ++i) {
      switch (a.format.codec) {
        case Codec::kF32:
          values.push_back(load<float>(chunk, 4 * i));
          break;
        case Codec::kF16:
          values.push_back(from_half(load<std::uint16_t>(chunk, 2 * i)));
          break;
        case Codec::kBF16:
          values.push_back(from_bfloat(load<std::uint16_t>(chunk, 2 * i)));
          break;
        case Codec::kI8B:
          EXPECT_NE(load<std::int8_t>(chunk, codes + i), -128);
          values.push_back(load<float>(chunk, 4 * (i / block)) *
                           static_cast<float>(load<std::int8_t>(chunk, codes + i)));
          break;
        case Codec::kI8S:
          EXPECT_NE(load<std::int8_t>(chunk, i), -128);
          values.push_back(std::ldexp(static_cast<float>(load<std::int8_t>(chunk, i)),
                                      a.scale_exponents[(start + i) / block]));
          break;
        default:
          ADD_FAILURE() << "tests/codecs decodes the others";
          break;
      }
    }
  }
  return values;
}

std::vector<float> gaussian_like(std::size_t d, std::uint64_t seed, double width) {
  Random random(seed);
  std::vector<float> values(d);
  for (float& x : values) {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += random.uniform();
    x = static_cast<float>(width * sum);
  }
  return values;
}

TEST(Encode, CopiesF32) {
  const auto a = assignment(Codec::kF32, 250, 100);
  const auto delta = gaussian_like(250, 1, 1);
  const auto update = encode(a, delta, 9);
  ASSERT_EQ(update->chunks.size(), 3U);
  EXPECT_EQ(decode(a, *update), delta);
}

TEST(Encode, RoundsHalvesToTheNearestEven) {
  EXPECT_EQ(to_half(1.0F), 0x3c00);
  EXPECT_EQ(to_half(1.0F + 0x1p-11F), 0x3c00) << "a tie goes to the even neighbour";
  EXPECT_EQ(to_half(1.0F + 3 * 0x1p-11F), 0x3c02);
  EXPECT_EQ(to_half(-0.0F), 0x8000);
  EXPECT_EQ(to_half(0x1p-24F), 0x0001);
  EXPECT_EQ(to_half(0x1p-25F), 0x0000);
  EXPECT_EQ(to_half(0x1.8p-25F), 0x0001);
  EXPECT_EQ(to_half(65'519.0F), 0x7bff);
  EXPECT_EQ(to_half(65'520.0F), 0x7c00);
  EXPECT_EQ(to_half(2047.9F), 0x6800) << "the carry reaches the exponent";
  EXPECT_EQ(to_bfloat(1.0F + 0x1p-8F), 0x3f80);
  EXPECT_EQ(to_bfloat(1.0F + 3 * 0x1p-8F), 0x3f82);
}

TEST(Encode, HalvesSurviveARoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits)
    ASSERT_EQ(to_half(from_half(static_cast<std::uint16_t>(bits))), bits);
  for (std::uint32_t bits = 0; bits < 0x7f80; ++bits)
    ASSERT_EQ(to_bfloat(from_bfloat(static_cast<std::uint16_t>(bits))), bits);
}

TEST(Encode, IntegerCodecsAreUnbiased) {
  constexpr std::size_t kDimension = 512;
  constexpr int kDraws = 2000;
  const auto delta = gaussian_like(kDimension, 2, 0.01);
  for (const Codec codec : {Codec::kI8B, Codec::kI8S}) {
    auto a = assignment(codec, kDimension, 256, 6);
    a.scale_exponents.assign(kDimension / 64, -11);
    std::vector<double> sum(kDimension, 0.0);
    std::vector<double> squares(kDimension, 0.0);
    for (int draw = 0; draw < kDraws; ++draw) {
      const auto values = decode(a, *encode(a, delta, static_cast<std::uint64_t>(draw)));
      for (std::size_t i = 0; i < kDimension; ++i) {
        const double error = static_cast<double>(values[i]) - static_cast<double>(delta[i]);
        sum[i] += error;
        squares[i] += error * error;
      }
    }
    // Per coordinate a z score; their squares average 1 if unbiased, and none is far out.
    double chi = 0;
    double worst = 0;
    std::size_t counted = 0;
    for (std::size_t i = 0; i < kDimension; ++i) {
      const double mean = sum[i] / kDraws;
      const double variance = squares[i] / kDraws - mean * mean;
      if (variance < 1e-14) continue;  // falls on a code
      const double z = mean / std::sqrt(variance / kDraws);
      chi += z * z;
      worst = std::max(worst, std::abs(z));
      ++counted;
    }
    ASSERT_GT(counted, kDimension * 9 / 10);
    EXPECT_LT(worst, 5.0) << codec_name(codec);
    EXPECT_NEAR(chi / static_cast<double>(counted), 1.0, 4 * std::sqrt(2.0 / kDimension));
  }
}

TEST(Encode, TheMeanErrorOfALongVectorIsWithinFourStandardErrors) {
  constexpr std::size_t kDimension = 1 << 18;
  const auto a = assignment(Codec::kI8B, kDimension, 65'536, 8);
  const auto delta = gaussian_like(kDimension, 3, 0.5);
  const auto values = decode(a, *encode(a, delta, 4));
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < kDimension; ++i) {
    const double error = static_cast<double>(values[i]) - static_cast<double>(delta[i]);
    sum += error;
    squares += error * error;
  }
  EXPECT_LT(std::abs(sum), 4 * std::sqrt(squares));
}

TEST(Encode, NeverPassesTheBound) {
  for (const float bound : {16.0F, 1.0F, 0.1F, 0.3333333F, 0.001234567F, 60'000.0F})
    for (const Codec codec : {Codec::kF32, Codec::kF16, Codec::kBF16, Codec::kI8B, Codec::kI8S}) {
      auto a = assignment(codec, 4096, 1024, 4);
      a.value_bound = bound;
      a.scale_exponents.assign(256, static_cast<std::int8_t>(std::ilogb(bound) - 5));
      auto delta = gaussian_like(4096, 5, static_cast<double>(bound));
      delta[0] = 1e30F;
      delta[1] = -1e30F;
      for (const float x : decode(a, *encode(a, delta, 6)))
        ASSERT_LE(std::abs(x), bound) << codec_name(codec) << " " << bound;
    }
}

TEST(Encode, SharedScalesSaturate) {
  auto a = assignment(Codec::kI8S, 32, 64, 4);
  a.scale_exponents = {-10, -3};
  const std::vector<float> delta(32, -3.0F);
  const auto values = decode(a, *encode(a, delta, 1));
  EXPECT_EQ(values[0], -127 * 0x1p-10F);
  EXPECT_EQ(values[16], -3.0F);
}

TEST(Encode, ABlockOfZerosHasScaleZero) {
  const auto a = assignment(Codec::kI8B, 40, 64, 4);
  std::vector<float> delta(40, 0.0F);
  delta[20] = 127;
  auto wide = a;
  wide.value_bound = 1000;
  const auto update = encode(wide, delta, 1);
  const auto& chunk = update->chunks[0];
  ASSERT_EQ(chunk.size(), 3 * 4 + 40U);
  EXPECT_EQ(load<float>(chunk, 0), 0.0F);
  EXPECT_EQ(load<float>(chunk, 4), 1.0F);
  EXPECT_EQ(load<std::int8_t>(chunk, 12 + 20), 127);
  EXPECT_EQ(load<float>(chunk, 8), 0.0F);
}

TEST(Encode, HandlesTheSmallestNumbers) {
  const auto a = assignment(Codec::kI8B, 16, 64, 4);
  const std::vector<float> delta(16, std::numeric_limits<float>::denorm_min());
  for (const float x : decode(a, *encode(a, delta, 1))) EXPECT_TRUE(std::isfinite(x));
}

TEST(Encode, ClipsToTheNorm) {
  auto a = assignment(Codec::kF32, 100, 64);
  a.clip_norm = 2;
  const std::vector<float> delta(100, 1.0F);
  const auto values = decode(a, *encode(a, delta, 1));
  EXPECT_NEAR(values[7], 0.2F, 1e-6);
  const std::vector<float> small(100, 0.1F);
  EXPECT_EQ(decode(a, *encode(a, small, 1)), small);
}

TEST(Encode, RefusesWhatIsNotANumber) {
  const auto a = assignment(Codec::kI8B, 4, 64, 4);
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(encode(a, std::vector<float>{0, NAN, 0, 0}, 1).status().reason(), "value_not_finite");
  EXPECT_EQ(encode(a, std::vector<float>{0, 0, -inf, 0}, 1).status().reason(), "value_not_finite");
  EXPECT_EQ(encode(a, std::vector<float>{0, 0}, 1).status().reason(), "wrong_dimension");
}

TEST(Encode, DoesNotTrustAnAssignment) {
  const std::vector<float> delta(64, 0.0F);
  const auto good = assignment(Codec::kI8S, 64, 32, 4);
  const auto reason = [&](auto&& spoil) {
    auto a = good;
    a.scale_exponents.assign(4, -10);
    spoil(a);
    return std::string(encode(a, delta, 1).status().reason());
  };
  EXPECT_EQ(reason([](auto&) {}), "ok");
  EXPECT_EQ(reason([](auto& a) { a.scale_exponents.pop_back(); }), "protocol");
  EXPECT_EQ(reason([](auto& a) { a.chunk_coordinates = 0; }), "protocol");
  EXPECT_EQ(reason([](auto& a) { a.chunk_coordinates = 24; }), "protocol");
  EXPECT_EQ(reason([](auto& a) { a.dimension = 1ULL << 40; }), "protocol");
  EXPECT_EQ(reason([](auto& a) { a.format.codec = static_cast<Codec>(kCodecCount); }), "protocol");
  EXPECT_EQ(reason([](auto& a) { a.format.log2_block = 63; }), "protocol");
  EXPECT_EQ(reason([](auto& a) { a.value_bound = NAN; }), "protocol");
  EXPECT_EQ(reason([](auto& a) { a.clip_norm = -1; }), "protocol");
}

TEST(Encode, IsAFunctionOfTheSeed) {
  const auto a = assignment(Codec::kI8B, 1000, 100, 4);
  const auto delta = gaussian_like(1000, 7, 1);
  EXPECT_EQ(encode(a, delta, 5)->chunks, encode(a, delta, 5)->chunks);
  EXPECT_NE(encode(a, delta, 5)->chunks, encode(a, delta, 6)->chunks);
}

}  // namespace
}  // namespace muster::client
