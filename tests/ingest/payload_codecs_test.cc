// What check_payload() and the inflater refuse of the packed, sparse and rotated codecs.
#include <gtest/gtest.h>
#include <zstd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "ingest/inflate.h"
#include "tests/ingest/fixture.h"

namespace muster::ingest {
namespace {

using wire::Reason;
using Payload = std::vector<std::byte>;

constexpr float kBound = 16;
constexpr std::size_t kD = 301;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Reason judge(ChunkFormat format, const Payload& payload, std::size_t d = kD) {
  if (!is_payload_length(format, d, payload.size())) return Reason::kPayloadLength;
  const std::vector<std::int8_t> exponents(
      has_shared_scales(format.codec) ? divide_up<std::size_t>(d, 64) : 0, 0);
  return check_payload(format, d, kBound, exponents, payload);
}

/// A payload of zeros of the right length, spoilt.
Reason spoilt(ChunkFormat format, const std::function<void(Payload&)>& spoil) {
  Payload payload(payload_bytes(format, kD));
  spoil(payload);
  return judge(format, payload);
}

TEST(PackedPayload, NoLengthButTheRightOneIsTaken) {
  for (const ChunkFormat& format :
       {ChunkFormat{Codec::kI4B, 6}, ChunkFormat{Codec::kI4S, 6}, ChunkFormat{Codec::kSign1, 6},
        ChunkFormat{Codec::kRandK, 0, 16, false, 6000}, ChunkFormat{Codec::kEden, 6, 3},
        ChunkFormat{Codec::kHsq, 6, 5}})
    for (const int more : {-1, 1})
      EXPECT_EQ(
          spoilt(format, [&](Payload& p) { p.resize(p.size() + static_cast<std::size_t>(more)); }),
          Reason::kPayloadLength)
          << codec_name(format.codec);
}

TEST(PackedPayload, NibblesHoldNoReservedCodeAndStayInBound) {
  const ChunkFormat own{Codec::kI4B, 6}, shared{Codec::kI4S, 6};
  constexpr std::size_t kCodes = 4 * 5;
  EXPECT_EQ(spoilt(own, [](Payload& p) { p[kCodes + 7] = std::byte{0x08}; }),
            Reason::kReservedCode);
  EXPECT_EQ(spoilt(own, [](Payload& p) { p[kCodes + 7] = std::byte{0x80}; }),
            Reason::kReservedCode);
  EXPECT_EQ(spoilt(shared, [](Payload& p) { p[100] = std::byte{0x8f}; }), Reason::kReservedCode);
  EXPECT_EQ(spoilt(own, [](Payload& p) { p.back() = std::byte{0x10}; }), Reason::kReservedCode)
      << "the spare half of an odd chunk";
  for (const float bad : {kNan, kInfinity, -1e-9f})
    EXPECT_EQ(spoilt(own, [&](Payload& p) { store(p, 16, bad); }), Reason::kScaleInvalid);
  const auto scaled = [&](float scale, int code) {
    return spoilt(own, [&](Payload& p) {
      store(p, 4, scale);
      p[kCodes + 64 / 2] = static_cast<std::byte>(code & 15);
    });
  };
  EXPECT_EQ(scaled(8, 2), Reason::kOk);
  EXPECT_EQ(scaled(8, -2), Reason::kOk);
  EXPECT_EQ(scaled(8, 3), Reason::kCoordinateOutOfBound);
  EXPECT_EQ(scaled(8, -3), Reason::kCoordinateOutOfBound);
}

TEST(PackedPayload, SignsNeedScalesInBoundAndSpareBitsZero) {
  const ChunkFormat format{Codec::kSign1, 6};
  EXPECT_EQ(spoilt(format, [](Payload& p) { store(p, 4, kBound); }), Reason::kOk);
  EXPECT_EQ(spoilt(format, [](Payload& p) { store(p, 4, kBound + 1); }),
            Reason::kCoordinateOutOfBound);
  EXPECT_EQ(spoilt(format, [](Payload& p) { store(p, 4, -0.5f); }), Reason::kScaleInvalid);
  EXPECT_EQ(spoilt(format, [](Payload& p) { p.back() = std::byte{0x20}; }), Reason::kReservedCode);
}

TEST(PackedPayload, RotationsNeedSoundHeads) {
  const ChunkFormat eden{Codec::kEden, 6, 3}, hsq{Codec::kHsq, 6, 3};
  for (const float bad : {kNan, kInfinity, -1e-9f}) {
    EXPECT_EQ(spoilt(eden, [&](Payload& p) { store(p, 8 + 4 * 4, bad); }), Reason::kScaleInvalid);
    EXPECT_EQ(spoilt(hsq, [&](Payload& p) { store(p, 8 * 4 + 4, bad); }), Reason::kScaleInvalid);
  }
  EXPECT_EQ(spoilt(hsq, [](Payload& p) { store(p, 8, kNan); }), Reason::kScaleInvalid);
  EXPECT_EQ(spoilt(hsq, [](Payload& p) { store(p, 8, -kBound); }), Reason::kOk);
  EXPECT_EQ(spoilt(hsq, [](Payload& p) { store(p, 8, -kBound - 1); }),
            Reason::kCoordinateOutOfBound);
  EXPECT_EQ(spoilt(hsq, [](Payload& p) { store(p, 12, kBound / 7); }), Reason::kOk);
  EXPECT_EQ(spoilt(hsq, [](Payload& p) { store(p, 12, kBound / 6.9f); }),
            Reason::kCoordinateOutOfBound);
  // 4 rotations of 64 and one of 64 for the last 45: 960 bits leave none over; 4 + a rotation of 8
  // for 5 coordinates at 3 bits neither. One bit of 260 + 4 coordinates does.
  const ChunkFormat narrow{Codec::kHsq, 8, 1};
  Payload payload(payload_bytes(narrow, 257));
  payload.back() = std::byte{2};
  EXPECT_EQ(judge(narrow, payload, 257), Reason::kReservedCode);
  payload.back() = std::byte{1};
  EXPECT_EQ(judge(narrow, payload, 257), Reason::kOk);
}

class TopK : public ::testing::Test {
 protected:
  static constexpr ChunkFormat kFormat{Codec::kTopK, 0, 32, false, kWholeShare / 10};
  /// k values of 1, then the bytes given.
  static Payload with(std::uint32_t k, std::uint32_t flags, std::initializer_list<int> indices,
                      float value = 1) {
    Payload payload(8 + 4 * std::size_t{k});
    store(payload, 0, k);
    store(payload, 4, flags);
    for (std::uint32_t j = 0; j < k; ++j) store(payload, 8 + 4 * j, value);
    for (const int byte : indices) payload.push_back(static_cast<std::byte>(byte));
    return payload;
  }
};

TEST_F(TopK, TakesAscendingIndicesAndNothingElse) {
  EXPECT_EQ(judge(kFormat, with(0, 0, {})), Reason::kOk);
  EXPECT_EQ(judge(kFormat, with(2, 0, {0, 0})), Reason::kOk);
  EXPECT_EQ(judge(kFormat, with(2, 0, {0xac, 0x02, 0})), Reason::kIndexInvalid) << "301";
  EXPECT_EQ(judge(kFormat, with(1, 0, {0xac, 0x02})), Reason::kOk) << "300, the last coordinate";
  EXPECT_EQ(judge(kFormat, with(1, 0, {0xad, 0x02})), Reason::kIndexInvalid);
  EXPECT_EQ(judge(kFormat, with(1, 0, {0x80, 0x00})), Reason::kIndexInvalid) << "not the shortest";
  EXPECT_EQ(judge(kFormat, with(1, 0, {0x80})), Reason::kIndexInvalid) << "cut off";
  EXPECT_EQ(judge(kFormat, with(1, 0, {0x80, 0x80, 0x80})), Reason::kIndexInvalid) << "endless";
  EXPECT_EQ(judge(kFormat, with(1, 0, {0, 0})), Reason::kIndexInvalid) << "one too many";
  EXPECT_EQ(judge(kFormat, with(2, 0, {0})), Reason::kIndexInvalid) << "one too few";
  EXPECT_EQ(judge(kFormat, with(1, 2, {0})), Reason::kIndexInvalid) << "unknown flag";
  EXPECT_EQ(judge(kFormat, with(1, 0, {0}, kNan)), Reason::kValueNotFinite);
  EXPECT_EQ(judge(kFormat, with(1, 0, {0}, 17)), Reason::kCoordinateOutOfBound);
}

TEST_F(TopK, CountsAreBounded) {
  Payload payload = with(1, 0, {0});
  store(payload, 0, std::uint32_t{2});
  EXPECT_EQ(judge(kFormat, payload), Reason::kPayloadLength) << "values that are not there";
  store(payload, 0, std::uint32_t{32});
  EXPECT_EQ(judge(kFormat, payload), Reason::kIndexInvalid) << "more than a tenth of 301";
  store(payload, 0, ~std::uint32_t{0});
  EXPECT_EQ(judge(kFormat, payload), Reason::kIndexInvalid);
  EXPECT_EQ(judge(kFormat, Payload(7)), Reason::kPayloadLength);
  EXPECT_EQ(judge(kFormat, Payload(payload_bytes(kFormat, kD) + 1)), Reason::kPayloadLength);
}

TEST_F(TopK, BitmapsHaveAsManyBitsAsValues) {
  const ChunkFormat half{Codec::kTopK, 0, 32, false, kWholeShare / 2};
  const auto bitmap = [&](std::uint32_t k, int first, int last) {
    Payload payload = with(k, kTopKBitmap, {});
    payload.resize(payload.size() + 38);
    payload[8 + 4 * k] = static_cast<std::byte>(first);
    payload.back() = static_cast<std::byte>(last);
    return judge(half, payload);
  };
  EXPECT_EQ(bitmap(3, 0x06, 0x10), Reason::kOk);
  EXPECT_EQ(bitmap(2, 0x06, 0x10), Reason::kIndexInvalid);
  EXPECT_EQ(bitmap(4, 0x06, 0x10), Reason::kIndexInvalid);
  EXPECT_EQ(bitmap(2, 0x02, 0x20), Reason::kIndexInvalid) << "coordinate 301 of 301";
}

Payload zstd_frame(const Payload& raw, const std::function<void(ZSTD_CCtx*)>& prepare = {}) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  if (prepare) prepare(context);
  Payload frame(ZSTD_compressBound(raw.size()));
  const std::size_t bytes =
      ZSTD_compress2(context, frame.data(), frame.size(), raw.data(), raw.size());
  ZSTD_freeCCtx(context);
  EXPECT_FALSE(ZSTD_isError(bytes));
  frame.resize(bytes);
  return frame;
}

TEST(Inflater, TakesOneFrameOfExactlyTheRightSize) {
  Inflater inflater;
  Payload raw(1000, std::byte{5}), back(1000);
  const Payload frame = zstd_frame(raw);
  ASSERT_EQ(inflater.inflate(frame, back), Reason::kOk);
  EXPECT_EQ(back, raw);
  const auto refuses = [&](const Payload& bytes, std::size_t size = 1000) {
    Payload target(size);
    return inflater.inflate(bytes, target) == Reason::kZstdInvalid;
  };
  EXPECT_TRUE(refuses(frame, 999));
  EXPECT_TRUE(refuses(frame, 1001));
  EXPECT_TRUE(refuses({}));
  EXPECT_TRUE(refuses(Payload(20, std::byte{0x28})));
  for (std::size_t cut = 0; cut < frame.size(); ++cut)
    EXPECT_TRUE(refuses(Payload(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(cut))));
  Payload longer = frame;
  longer.push_back(std::byte{0});
  EXPECT_TRUE(refuses(longer));
  Payload twice = frame;
  twice.insert(twice.end(), frame.begin(), frame.end());
  EXPECT_TRUE(refuses(twice)) << "a second frame";
  EXPECT_TRUE(refuses(zstd_frame(raw, [](ZSTD_CCtx* context) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  }))) << "no content size";
  Payload skippable(100);
  store(skippable, 0, std::uint32_t{0x184d2a50});
  EXPECT_TRUE(refuses(skippable));
}

TEST(Inflater, RefusesWideWindowsAndDictionaries) {
  Inflater inflater;
  // Magic, descriptor (content size of 4 bytes, no single segment), window, content size, one RLE
  // block of 1000 that is the last.
  const auto made = [&](int descriptor, int window, std::vector<int> middle) {
    Payload frame = {std::byte{0x28},
                     std::byte{0xb5},
                     std::byte{0x2f},
                     std::byte{0xfd},
                     static_cast<std::byte>(descriptor),
                     static_cast<std::byte>(window)};
    for (const int byte : middle) frame.push_back(static_cast<std::byte>(byte));
    for (const int byte : {0xe8, 0x03, 0, 0, 0x43, 0x1f, 0, 7})
      frame.push_back(static_cast<std::byte>(byte));
    Payload back(1000);
    return inflater.inflate(frame, back);
  };
  EXPECT_EQ(made(0x80, 13 << 3, {}), Reason::kOk) << "8 MiB";
  EXPECT_EQ(made(0x80, 13 << 3 | 1, {}), Reason::kZstdInvalid) << "9 MiB";
  EXPECT_EQ(made(0x80, 31 << 3, {}), Reason::kZstdInvalid);
  EXPECT_EQ(made(0x81, 13 << 3, {9}), Reason::kZstdInvalid) << "dictionary 9";
}

}  // namespace
}  // namespace muster::ingest
