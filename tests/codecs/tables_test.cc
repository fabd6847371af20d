// The constants and draws that devices and server share: wire format, so fixed for good.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/centroids.h"
#include "tests/codecs/samples.h"

namespace muster::testing {
namespace {

double density(double x) {
  return std::isinf(x) ? 0 : std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
}
double above(double x) { return std::erfc(x / std::sqrt(2.0)) / 2; }

TEST(Centroids, AreTheMeansOfTheirCells) {
  for (unsigned bits = 1; bits <= 8; ++bits) {
    const auto levels = centroids(bits);
    ASSERT_EQ(levels.size(), std::size_t{1} << bits);
    for (std::size_t i = 0; i < levels.size(); ++i) {
      EXPECT_EQ(levels[i], -levels[levels.size() - 1 - i]);
      if (i < levels.size() / 2) continue;
      const double low = (double{levels[i - 1]} + double{levels[i]}) / 2;
      const double high = i + 1 < levels.size() ? (double{levels[i]} + double{levels[i + 1]}) / 2
                                                : std::numeric_limits<double>::infinity();
      const double mean = (density(low) - density(high)) / (above(low) - above(high));
      EXPECT_NEAR(double{levels[i]}, mean, 3e-6) << bits << " bits, level " << i;
    }
  }
}

TEST(CodecRandom, IsSplitmix64) {
  // The first words of splitmix64 from seed 1234567, as its authors publish them.
  const std::uint64_t published[] = {6457827717110365317u, 3203168211198807973u,
                                     9817491932198370423u, 4593380528125082431u,
                                     16408922859458223821u};
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(counter_word(1234567, i), published[i]);
}

TEST(CodecRandom, MasksAreAscendingAndFair) {
  constexpr std::size_t kD = 40, kTaken = 10;
  std::vector<int> taken(kD);
  for (std::uint64_t key = 0; key < 4000; ++key) {
    std::vector<std::uint32_t> mask(kTaken);
    draw_mask(counter_word(9, key), kD, mask);
    ASSERT_TRUE(std::is_sorted(mask.begin(), mask.end()));
    ASSERT_EQ(std::set<std::uint32_t>(mask.begin(), mask.end()).size(), kTaken);
    ASSERT_LT(mask.back(), kD);
    for (const std::uint32_t k : mask) ++taken[k];
  }
  // Each is binomial(4000, 1/4): five standard deviations.
  for (std::size_t k = 0; k < kD; ++k) EXPECT_NEAR(taken[k], 1000, 5 * std::sqrt(750.0)) << k;
  std::vector<std::uint32_t> all(kD);
  draw_mask(3, kD, all);
  EXPECT_EQ(all.front(), 0u);
  EXPECT_EQ(all.back(), kD - 1);
}

TEST(CodecLayout, LengthsAreTheOnesDocumented) {
  EXPECT_EQ(payload_bytes({Codec::kI4B, 6}, 65), 2 * 4 + 33u);
  EXPECT_EQ(payload_bytes({Codec::kI4S, 6}, 65), 33u);
  EXPECT_EQ(payload_bytes({Codec::kSign1, 6}, 65), 2 * 4 + 9u);
  EXPECT_EQ(payload_bytes({Codec::kRandK, 0, 16, false, kWholeShare / 10}, 65), 2 * 7u);
  EXPECT_EQ(payload_bytes({Codec::kTopK, 0, 32, false, kWholeShare / 100}, 65'536),
            8 + 655 * 4 + 655 + 512 + 4u);
  // 65 = a rotation of 64, and one coordinate that needs no padding; 69 = 64 and 5 in 8.
  EXPECT_EQ(payload_bytes({Codec::kEden, 6, 3}, 65), 8 + 2 * 4 + 25u);
  EXPECT_EQ(payload_bytes({Codec::kHsq, 6, 3}, 69), 2 * 8 + 27u);
  EXPECT_EQ(rotated_length({Codec::kHsq, 6, 3}, 69), 72u);
  EXPECT_EQ(log2_rotation({Codec::kHsq, 6, 3}, 69, 0), 6u);
  EXPECT_EQ(log2_rotation({Codec::kHsq, 6, 3}, 69, 1), 3u);
}

TEST(CodecLayout, EveryCodecHasItsName) {
  for (std::uint8_t codec = 0; codec < kCodecCount; ++codec)
    EXPECT_EQ(parse_codec(codec_name(Codec{codec})), Codec{codec});
  for (const ChunkFormat format : formats()) EXPECT_TRUE(is_sound(format)) << name_of(format);
}

/// The densest positions a device may name fit the longest payload.
TEST(CodecLayout, TheShorterFormOfPositionsAlwaysFits) {
  for (const std::size_t d : {std::size_t{1}, std::size_t{127}, std::size_t{128}, std::size_t{1000},
                              std::size_t{65'536}, std::size_t{262'144}})
    for (const std::uint32_t share : {1u, 66u, 500u, 8192u, 20'000u, kWholeShare}) {
      const ChunkFormat format{Codec::kTopK, 0, 16, false, share};
      auto assignment = assignment_for(format, d, 262'144);
      auto delta = std::vector<float>(d);
      // As far apart as they can be.
      const std::size_t k = kept_count(format, d);
      for (std::size_t j = 0; j < k; ++j) delta[(j + 1) * d / k - 1] = 1;
      const auto update = client::encode(assignment, delta, 1);
      ASSERT_TRUE(update.ok()) << update.status().to_string();
      EXPECT_TRUE(is_payload_length(format, d, update->chunks[0].size())) << d << " " << share;
    }
}

}  // namespace
}  // namespace muster::testing
