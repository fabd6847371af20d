#include "robust_agg/scales.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace muster::robust {
namespace {

constexpr ChunkFormat kFormat8{Codec::kI8S, 4}, kFormat4{Codec::kI4S, 4};
constexpr ScaleRange kWide{-40, 40};

std::vector<std::byte> bytes_of(std::vector<int> codes) {
  std::vector<std::byte> bytes;
  for (const int code : codes) bytes.push_back(static_cast<std::byte>(code));
  return bytes;
}

int adapted(Codec codec, std::vector<std::uint8_t> peaks, int exponent, ScaleRange range = kWide) {
  std::int8_t one[] = {static_cast<std::int8_t>(exponent)};
  adapt_scales(codec, peaks, range, one);
  return one[0];
}

TEST(Scales, PeaksAreTheGreatestMagnitudeOfEachBlock) {
  std::vector<int> codes(37, 1);
  codes[3] = -127, codes[16] = 5, codes[31] = -9, codes[36] = 2;
  std::uint8_t peaks[3];
  block_peaks(kFormat8, codes.size(), bytes_of(codes), peaks);
  EXPECT_EQ(peaks[0], 127);
  EXPECT_EQ(peaks[1], 9);
  EXPECT_EQ(peaks[2], 2);
}

TEST(Scales, PeaksOfPackedCodes) {
  // 37 codes of 4 bits: low half first, the last byte half empty.
  std::vector<int> bytes(19, 0x11);
  bytes[2] = 0x91;   // 1, -7
  bytes[9] = 0x1d;   // -3, 1
  bytes[18] = 0x06;  // 6
  std::uint8_t peaks[3];
  block_peaks(kFormat4, 37, bytes_of(bytes), peaks);
  EXPECT_EQ(peaks[0], 7);
  EXPECT_EQ(peaks[1], 3);
  EXPECT_EQ(peaks[2], 6);
}

TEST(Scales, ABlockIsMovedToWhereItsMedianPeakFits) {
  EXPECT_EQ(adapted(Codec::kI8S, {40}, -10), -10);
  EXPECT_EQ(adapted(Codec::kI8S, {100}, -10), -9);
  EXPECT_EQ(adapted(Codec::kI8S, {1}, -10), -15);
  EXPECT_EQ(adapted(Codec::kI8S, {127}, -10), -7);
  EXPECT_EQ(adapted(Codec::kI4S, {7}, -3), -2);
  EXPECT_EQ(adapted(Codec::kI4S, {1}, -3), -4);
  EXPECT_EQ(adapted(Codec::kI4S, {4}, -3), -3);
}

TEST(Scales, FewerThanHalfOfTheRowsMoveNothing) {
  EXPECT_EQ(adapted(Codec::kI8S, {40, 45, 127, 127, 50}, -10), -10);
  EXPECT_EQ(adapted(Codec::kI8S, {40, 0, 0, 50, 60}, -10), -10);
}

TEST(Scales, ASilentBlockGoesNoLowerThanTheLeastThatIsHeard) {
  std::vector<std::int8_t> exponents = {-10, -10, -16, -20};
  const std::vector<std::uint8_t> peaks = {40, 0, 40, 0};
  adapt_scales(Codec::kI8S, peaks, kWide, exponents);
  EXPECT_EQ(exponents, (std::vector<std::int8_t>{-10, -13, -16, -20}));
  adapt_scales(Codec::kI8S, peaks, kWide, exponents);
  EXPECT_EQ(exponents, (std::vector<std::int8_t>{-10, -16, -16, -20}));
  EXPECT_EQ(adapted(Codec::kI8S, {0}, -10), -13) << "nobody is heard";
}

TEST(Scales, BlocksMoveByThemselvesAndStayInRange) {
  std::vector<std::int8_t> exponents = {-10, -10, -10};
  const std::vector<std::uint8_t> peaks = {127, 1, 40, 127, 1, 40};
  adapt_scales(Codec::kI8S, peaks, {-12, -9}, exponents);
  EXPECT_EQ(exponents, (std::vector<std::int8_t>{-9, -12, -10}));
}

TEST(Scales, TheRangeKeepsCodesInBoundAndOnTheGrid) {
  for (const float bound : {1.0f, 16.0f, 127.0f, 1e6f}) {
    for (const Codec codec : {Codec::kI8S, Codec::kI4S}) {
      const int greatest = codec == Codec::kI8S ? 127 : 7;
      const ScaleRange range = scale_range(codec, bound, 36);
      EXPECT_LE(std::ldexp(greatest, range.most), bound);
      EXPECT_GT(std::ldexp(greatest, range.most + 1), bound);
      EXPECT_GE(range.least, -36);
      EXPECT_LE(range.most - range.least, 24);
    }
  }
}

/// Quantises blocks whose deltas differ by orders of magnitude until the scales rest.
TEST(Scales, SettleWithinAFewRoundsAndThenRest) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (const Codec codec : {Codec::kI8S, Codec::kI4S}) {
    const int greatest = codec == Codec::kI8S ? 127 : 7;
    const std::vector<double> sizes = {1e-4, 1e-2, 1.0, 7.0};
    const ScaleRange range = scale_range(codec, 1e3, 40);
    std::vector<std::int8_t> exponents(sizes.size(), -10), last;
    for (int round = 0; round < 30; ++round) {
      std::vector<std::uint8_t> peaks;
      for (std::uint32_t row = 0; row < kScaleSample; ++row) {
        for (std::size_t b = 0; b < sizes.size(); ++b) {
          int peak = 0;
          for (int k = 0; k < 256; ++k) {
            const double units = std::abs(normal(random)) * sizes[b] * std::ldexp(1, -exponents[b]);
            const double dither = std::uniform_real_distribution(0.0, 1.0)(random);
            peak = std::max(peak, std::min(greatest, static_cast<int>(std::floor(units + dither))));
          }
          peaks.push_back(static_cast<std::uint8_t>(peak));
        }
      }
      last = exponents;
      adapt_scales(codec, peaks, range, exponents);
    }
    EXPECT_EQ(exponents, last);
    for (std::size_t b = 0; b < sizes.size(); ++b) {
      // The peak of 256 normal values is near 3 standard deviations.
      const double peak = 3 * sizes[b] * std::ldexp(1, -exponents[b]);
      EXPECT_GT(peak, greatest * 0.15) << b;
      EXPECT_LT(peak, greatest) << b;
    }
  }
}

}  // namespace
}  // namespace muster::robust
