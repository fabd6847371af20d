#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/ingest/fixture.h"

namespace muster::ingest {
namespace {

using wire::Reason;

constexpr float kBound = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Odd sizes and positions reach the vectorised middle and the tails of the loops.
constexpr std::size_t kD = 1003;
constexpr std::size_t kPlaces[] = {0, 1, 31, 500, 999, 1002};

template <class Word>
Reason with_word(Codec codec, std::size_t place, Word word) {
  std::vector<std::byte> payload(kD * sizeof(Word));
  store(payload, place * sizeof(Word), word);
  return check_payload({codec, 0}, kD, kBound, {}, payload);
}

TEST(CheckPayload, JudgesEveryF32) {
  for (const std::size_t place : kPlaces) {
    auto judge = [&](float value) { return with_word(Codec::kF32, place, value); };
    EXPECT_EQ(judge(16.0f), Reason::kOk);
    EXPECT_EQ(judge(-16.0f), Reason::kOk);
    EXPECT_EQ(judge(-0.0f), Reason::kOk);
    EXPECT_EQ(judge(1e-42f), Reason::kOk);
    EXPECT_EQ(judge(std::nextafter(16.0f, 17.0f)), Reason::kCoordinateOutOfBound);
    EXPECT_EQ(judge(-1e38f), Reason::kCoordinateOutOfBound);
    EXPECT_EQ(judge(kInfinity), Reason::kValueNotFinite);
    EXPECT_EQ(judge(-kInfinity), Reason::kValueNotFinite);
    EXPECT_EQ(judge(kNan), Reason::kValueNotFinite);
    EXPECT_EQ(judge(-kNan), Reason::kValueNotFinite);
  }
}

TEST(CheckPayload, JudgesEveryHalf) {
  for (const std::size_t place : kPlaces) {
    auto f16 = [&](std::uint16_t bits) { return with_word(Codec::kF16, place, bits); };
    EXPECT_EQ(f16(0x4c00), Reason::kOk);                    // 16
    EXPECT_EQ(f16(0xcc00), Reason::kOk);                    // -16
    EXPECT_EQ(f16(0x83ff), Reason::kOk);                    // a denormal
    EXPECT_EQ(f16(0x4c01), Reason::kCoordinateOutOfBound);  // the next above 16
    EXPECT_EQ(f16(0xfbff), Reason::kCoordinateOutOfBound);  // -65504
    EXPECT_EQ(f16(0x7c00), Reason::kValueNotFinite);
    EXPECT_EQ(f16(0xfe01), Reason::kValueNotFinite);
    auto bf16 = [&](std::uint16_t bits) { return with_word(Codec::kBF16, place, bits); };
    EXPECT_EQ(bf16(0x4180), Reason::kOk);  // 16
    EXPECT_EQ(bf16(0xc180), Reason::kOk);
    EXPECT_EQ(bf16(0x4181), Reason::kCoordinateOutOfBound);
    EXPECT_EQ(bf16(0x7f80), Reason::kValueNotFinite);
    EXPECT_EQ(bf16(0xffc0), Reason::kValueNotFinite);
  }
}

class BlockCodes : public ::testing::Test {
 protected:
  static constexpr ChunkFormat kFormat{Codec::kI8B, 6};
  Reason judge() const { return check_payload(kFormat, kD, kBound, {}, payload); }
  void set_scale(std::size_t block, float scale) { store(payload, 4 * block, scale); }
  void set_code(std::size_t k, int code) {
    payload[4 * scale_count(kFormat, kD) + k] = static_cast<std::byte>(code);
  }
  std::vector<std::byte> payload = std::vector<std::byte>(payload_bytes(kFormat, kD));
};

TEST_F(BlockCodes, ScalesAreFiniteAndWithoutSign) {
  for (const std::size_t block : {0u, 7u, 15u}) {
    for (const float bad : {kNan, kInfinity, -kInfinity, -1e-9f, -kNan}) {
      set_scale(block, bad);
      EXPECT_EQ(judge(), Reason::kScaleInvalid) << bad;
    }
    set_scale(block, 1e-40f);
    EXPECT_EQ(judge(), Reason::kOk);
  }
}

TEST_F(BlockCodes, TheReservedCodeIsFoundAnywhere) {
  for (const std::size_t place : kPlaces) {
    for (const float scale : {0.01f, 100.0f}) {  // within the bound at a glance, and not
      set_scale(3, scale);
      set_code(place, -128);
      EXPECT_EQ(judge(), Reason::kReservedCode) << place;
      set_code(place, -127);
      EXPECT_EQ(judge(), Reason::kOk);
      set_code(place, 0);
    }
  }
}

TEST_F(BlockCodes, ALargeScaleIsFineWhileItsCodesAreSmall) {
  set_scale(15, 8.0f);
  set_code(1000, 2);
  EXPECT_EQ(judge(), Reason::kOk);
  set_code(1000, -2);
  EXPECT_EQ(judge(), Reason::kOk);
  set_code(1000, 3);
  EXPECT_EQ(judge(), Reason::kCoordinateOutOfBound);
  set_code(1000, -3);
  EXPECT_EQ(judge(), Reason::kCoordinateOutOfBound);
  set_code(1000, 0);
  set_scale(15, std::numeric_limits<float>::max());
  EXPECT_EQ(judge(), Reason::kOk);
  set_code(1000, 1);
  EXPECT_EQ(judge(), Reason::kCoordinateOutOfBound);
}

TEST(CheckPayload, SharedScalesBoundTheCodes) {
  constexpr ChunkFormat kFormat{Codec::kI8S, 6};
  std::vector<std::int8_t> exponents(16, -3);  // 127 / 8 < 16
  std::vector<std::byte> payload(kD, std::byte{127});
  auto judge = [&] { return check_payload(kFormat, kD, kBound, exponents, payload); };
  EXPECT_EQ(judge(), Reason::kOk);
  exponents[15] = -2;
  EXPECT_EQ(judge(), Reason::kCoordinateOutOfBound);
  std::fill(payload.begin() + 960, payload.end(), std::byte{64});
  EXPECT_EQ(judge(), Reason::kOk);
  payload[1002] = std::byte{0xbf};
  EXPECT_EQ(judge(), Reason::kCoordinateOutOfBound);
  payload[3] = std::byte{0x80};
  EXPECT_EQ(judge(), Reason::kReservedCode);
}

TEST(CheckPayload, HonestPayloadsOfEveryCodecPass) {
  for (std::uint8_t codec = 0; codec < kCodecCount; ++codec) {
    const RoundSpec spec = small_round(Codec{codec});
    for (std::uint32_t chunk = 0; chunk < 3; ++chunk) {
      const std::size_t d = spec.coordinates_of(chunk);
      const std::vector<std::int8_t> exponents(
          has_shared_scales(spec.format.codec) ? divide_up<std::size_t>(d, 64) : 0, -7);
      EXPECT_EQ(check_payload(spec.format, d, kBound, exponents, random_payload(spec, chunk, 9)),
                Reason::kOk)
          << codec_name(Codec{codec});
    }
  }
}

}  // namespace
}  // namespace muster::ingest
