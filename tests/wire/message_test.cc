#include "wire/message.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/wire/consistent.h"
#include "tests/wire/samples.h"

namespace muster::wire {
namespace {

constexpr auto kMax32 = std::numeric_limits<std::uint32_t>::max();
constexpr auto kMax64 = std::numeric_limits<std::uint64_t>::max();

/// Values that sit on edges more often than uniform ones do.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  std::uint64_t u64() {
    switch (below(4)) {
      case 0:
        return 0;
      case 1:
        return kMax64;
      case 2:
        return below(256);
      default:
        return engine_();
    }
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(u64()); }
  std::uint8_t u8() { return static_cast<std::uint8_t>(u64()); }
  Reason reason() { return static_cast<Reason>(static_cast<std::uint16_t>(u64())); }
  Hash128 hash() { return {u64(), u64()}; }
  Sha256 sha256() {
    Sha256 digest;
    for (std::byte& byte : digest) byte = static_cast<std::byte>(u8());
    return digest;
  }
  std::string text() { return std::string(below(limits::kNameBytes + 1), 'x'); }

 private:
  std::mt19937_64 engine_;
};

Assignment random_assignment(Draw& draw) {
  Assignment plan;
  plan.task = draw.u32();
  plan.round = draw.u64();
  plan.model_version = draw.u64();
  plan.dimension = 1 + draw.below(100'000);
  plan.chunk_coordinates = static_cast<std::uint32_t>(64 + draw.below(200'000));
  const auto codec = static_cast<Codec>(draw.below(kCodecCount));
  plan.format = {codec, static_cast<std::uint8_t>(4 + draw.below(is_rotated(codec) ? 13 : 15))};
  if (is_rotated(codec)) plan.format.bits = static_cast<std::uint8_t>(1 + draw.below(8));
  if (is_sparse(codec)) {
    plan.format.bits = draw.below(2) == 0 ? 16 : 32;
    plan.format.share = static_cast<std::uint32_t>(1 + draw.below(kWholeShare));
  }
  plan.format.zstd = codec != Codec::kTopK && draw.below(2) == 0;
  plan.codec_seed = draw.u64();
  if (has_shared_scales(codec))
    plan.scale_exponents.resize(
        divide_up<std::size_t>(plan.dimension, std::size_t{1} << plan.format.log2_block), -7);
  plan.clip_norm = static_cast<float>(draw.below(1000)) / 8;
  plan.value_bound = std::numeric_limits<float>::max();
  plan.max_weight = draw.u32();
  plan.deadline_ms = draw.u32();
  plan.terms = draw.sha256();
  return plan;
}

Submit random_submit(Draw& draw) {
  return {.task = draw.u32(),
          .round = draw.u64(),
          .model_version = draw.u64(),
          .device = draw.u64(),
          .nonce = draw.u64(),
          .weight = draw.u32(),
          .dimension = draw.u64(),
          .chunk = draw.u32(),
          .chunk_count = draw.u32(),
          .coordinates = draw.u32(),
          .codec = draw.u8(),
          .log2_block = draw.u8(),
          .payload_bytes = static_cast<std::uint32_t>(draw.below(limits::kPayloadBytes + 1)),
          .checksum = draw.hash(),
          .terms = draw.sha256()};
}

Body random_body(std::size_t kind, Draw& draw) {
  switch (kind) {
    case 0:
      return Hello{static_cast<std::uint16_t>(1 + draw.below(0xffff))};
    case 1:
      return Welcome{kProtocolVersion, draw.text()};
    case 2:
      return CheckIn{draw.text(), draw.u64()};
    case 3:
      return random_assignment(draw);
    case 4:
      return RetryAfter{draw.u32(), draw.reason()};
    case 5:
      return FetchModel{draw.u32(), draw.u64(), draw.u32()};
    case 6:
      return ModelChunk{draw.u32(), draw.u64(), draw.u32(), draw.u32(), draw.hash()};
    case 7:
      return random_submit(draw);
    case 8: {
      Receipt receipt{draw.u32(), draw.u64(), {}, {}};
      if (draw.below(2) == 1) receipt.ledger = LedgerHead{draw.u64(), draw.sha256()};
      receipt.entries.resize(draw.below(limits::kReceiptsPerMessage + 1));
      for (ReceiptEntry& entry : receipt.entries) entry = {draw.hash(), draw.u64(), draw.u64()};
      return receipt;
    }
    case 9:
      return QueryMissing{draw.u32(), draw.u64(), draw.u64(), draw.u64()};
    case 10: {
      const auto count = static_cast<std::uint32_t>(draw.below(limits::kMaxChunks + 1));
      std::vector<std::uint8_t> bitmap(divide_up(count, 8u));
      for (std::uint8_t& byte : bitmap) byte = draw.u8();
      return MissingChunks{draw.u32(), draw.u64(), draw.u64(), count, std::move(bitmap)};
    }
    default:
      return Refusal{draw.reason(), draw.u32(), draw.u32(), draw.u64(),
                     draw.u64(),    draw.u32(), draw.u64()};
  }
}

TEST(Message, OfEveryKindComesBackAsItWas) {
  constexpr std::uint64_t kSeed = 20'261'123;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  Draw draw(kSeed);
  for (std::size_t kind = 0; kind < std::variant_size_v<Body>; ++kind) {
    for (int repeat = 0; repeat < 300; ++repeat) {
      const Message message{kProtocolVersion, draw.u32(), random_body(kind, draw)};
      ASSERT_EQ(message.body.index(), kind);
      const auto header = build_header(message);
      const Parsed parsed = parse_header(header, std::size_t{1} << 20);
      ASSERT_TRUE(parsed.ok()) << kind << ": " << describe(parsed.reason).token;
      ASSERT_EQ(parsed.message, message) << kind;
      ASSERT_TRUE(consistent(parsed, header.size()));
    }
  }
}

TEST(Message, WithTheLongestVectorsFitsTheHeaderLimit) {
  Message message{kProtocolVersion, kMax32, {}};
  message.body = Receipt{kMax32, kMax64, std::vector<ReceiptEntry>(limits::kReceiptsPerMessage),
                         LedgerHead{kMax64, {}}};
  EXPECT_LE(build_header(message).size(), limits::kHeaderBytes);
  message.body = MissingChunks{kMax32, kMax64, kMax64, limits::kMaxChunks,
                               std::vector<std::uint8_t>(limits::kMaxChunks / 8, 0xff)};
  EXPECT_LE(build_header(message).size(), limits::kHeaderBytes);
}

TEST(Message, ParsesAtEveryAddress) {
  for (const Sample& sample : samples()) {
    const auto header = build_header(sample.message);
    for (std::size_t shift = 0; shift < 16; ++shift) {
      std::vector<std::byte> room(header.size() + shift);
      std::ranges::copy(header, room.begin() + static_cast<std::ptrdiff_t>(shift));
      const Parsed parsed = parse_header(ConstBytes(room).subspan(shift));
      ASSERT_TRUE(parsed.ok()) << sample.name;
      EXPECT_EQ(parsed.message, sample.message) << sample.name;
    }
  }
}

TEST(Message, WithALongExponentTableNeedsALargerLimit) {
  Assignment plan{.dimension = 100'000, .chunk_coordinates = 65'536, .format = {Codec::kI8S, 2}};
  plan.scale_exponents.resize(25'000, -3);
  const Message message{kProtocolVersion, 1, plan};
  auto header = build_header(message);
  EXPECT_GT(header.size(), limits::kHeaderBytes);
  EXPECT_EQ(parse_header(header).reason, Reason::kHeaderTooLarge);
  EXPECT_EQ(parse_header(header, 32'768).message, message);
  header.insert(header.begin(), std::byte{});  // unaligned and too long for the stack
  EXPECT_EQ(parse_header(ConstBytes(header).subspan(1), 32'768).message, message);
}

Reason verdict(const Body& body) {
  return parse_header(build_header({kProtocolVersion, 1, body})).reason;
}

TEST(Message, HoldsTextToItsLimits) {
  EXPECT_EQ(verdict(CheckIn{std::string(limits::kNameBytes, 'a'), 0}), Reason::kOk);
  EXPECT_EQ(verdict(CheckIn{std::string(limits::kNameBytes + 1, 'a'), 0}),
            Reason::kHeaderMalformed);
  EXPECT_EQ(verdict(CheckIn{"line\nline", 0}), Reason::kHeaderMalformed);
  EXPECT_EQ(verdict(Welcome{kProtocolVersion, "\xff"}), Reason::kHeaderMalformed);
}

TEST(Message, HoldsVectorsToTheirLimits) {
  EXPECT_EQ(verdict(MissingChunks{1, 1, 1, 9, {0, 0}}), Reason::kOk);
  EXPECT_EQ(verdict(MissingChunks{1, 1, 1, 9, {0}}), Reason::kHeaderMalformed);
  EXPECT_EQ(verdict(MissingChunks{1, 1, 1, 8, {0, 0}}), Reason::kHeaderMalformed);
  EXPECT_EQ(verdict(MissingChunks{1, 1, 1, 9, {}}), Reason::kHeaderMalformed);
  EXPECT_EQ(verdict(MissingChunks{1, 1, 1, 0, {}}), Reason::kOk);
  EXPECT_EQ(verdict(MissingChunks{1, 1, 1, limits::kMaxChunks + 1,
                                  std::vector<std::uint8_t>(limits::kMaxChunks / 8 + 1)}),
            Reason::kHeaderMalformed);
}

TEST(Message, OfAnotherVersionOfTheProtocolIsRefusedAsSuch) {
  for (const std::uint16_t protocol : std::initializer_list<std::uint16_t>{0, 2, 0xffff}) {
    for (const Sample& sample : samples()) {
      Message message = sample.message;
      message.protocol = protocol;
      EXPECT_EQ(parse_header(build_header(message)).reason, Reason::kProtocolVersion);
    }
  }
  EXPECT_EQ(verdict(Hello{0}), Reason::kProtocolVersion);
  EXPECT_EQ(verdict(Hello{2}), Reason::kOk) << "highest of the device: 1 will do";
  EXPECT_EQ(verdict(Welcome{2, ""}), Reason::kProtocolVersion);
}

TEST(Message, WithAPayloadTooLongIsRefusedByItsHeader) {
  Submit submit{.payload_bytes = limits::kPayloadBytes};
  EXPECT_EQ(verdict(submit), Reason::kOk);
  ++submit.payload_bytes;
  EXPECT_EQ(verdict(submit), Reason::kPayloadTooLarge);
}

TEST(Assignment, IsRefusedWhereADeviceCouldNotActOnIt) {
  const Assignment good{.dimension = 1000, .chunk_coordinates = 64, .format = {Codec::kI8B, 6}};
  EXPECT_EQ(verdict(good), Reason::kOk);
  const auto with = [&](auto change) {
    Assignment plan = good;
    change(plan);
    return verdict(plan);
  };
  EXPECT_EQ(with([](auto& a) { a.dimension = 0; }), Reason::kFieldMissing);
  EXPECT_EQ(with([](auto& a) { a.chunk_coordinates = 0; }), Reason::kFieldMissing);
  EXPECT_EQ(with([](auto& a) { a.dimension = kMax64; }), Reason::kWrongDimension);
  EXPECT_EQ(with([](auto& a) { a.chunk_coordinates = kMax32; }), Reason::kChunkLength);
  EXPECT_EQ(with([](auto& a) { a.dimension = 64ull * limits::kMaxChunks; }), Reason::kOk);
  EXPECT_EQ(with([](auto& a) { a.dimension = 64ull * limits::kMaxChunks + 1; }),
            Reason::kChunkCount);
  EXPECT_EQ(with([](auto& a) { a.format.codec = static_cast<Codec>(kCodecCount); }),
            Reason::kWrongCodec);
  for (const std::uint8_t block : std::initializer_list<std::uint8_t>{19, 32, 64, 255})
    EXPECT_EQ(with([&](auto& a) { a.format.log2_block = block; }), Reason::kWrongCodec);
  for (const ChunkFormat& bad :
       {ChunkFormat{Codec::kI8B, 6, 1}, ChunkFormat{Codec::kI8B, 6, 0, false, 1},
        ChunkFormat{Codec::kEden, 6, 0}, ChunkFormat{Codec::kEden, 6, 9},
        ChunkFormat{Codec::kHsq, 17, 4}, ChunkFormat{Codec::kHsq, 2, 4},
        ChunkFormat{Codec::kRandK, 0, 8, false, 100}, ChunkFormat{Codec::kRandK, 0, 32, false, 0},
        ChunkFormat{Codec::kTopK, 0, 32, false, kWholeShare + 1},
        ChunkFormat{Codec::kTopK, 0, 32, true, 100}})
    EXPECT_EQ(with([&](auto& a) { a.format = bad; }), Reason::kWrongCodec)
        << codec_name(bad.codec) << " " << int{bad.bits};
  EXPECT_EQ(with([](auto& a) { a.scale_exponents = {1}; }), Reason::kHeaderMalformed);
  EXPECT_EQ(with([](auto& a) { a.format.codec = Codec::kI8S; }), Reason::kHeaderMalformed);
  EXPECT_EQ(with([](auto& a) { a.clip_norm = -1; }), Reason::kValueNotFinite);
  EXPECT_EQ(with([](auto& a) { a.clip_norm = NAN; }), Reason::kValueNotFinite);
  EXPECT_EQ(with([](auto& a) { a.value_bound = INFINITY; }), Reason::kValueNotFinite);
}

TEST(Frames, MustFitTheKind) {
  const std::vector<std::byte> room(limits::kPayloadBytes + 4);
  const ConstBytes bytes(room);
  EXPECT_EQ(parse_frames({}).reason, Reason::kFrameMissing);
  for (const Sample& sample : samples()) {
    const auto header = build_header(sample.message);
    const bool payload = has_payload(sample.message.body);
    EXPECT_EQ(payload, !sample.payload.empty());
    const ConstBytes body = payload ? ConstBytes(sample.payload) : bytes.first(4);
    const auto verdict_of = [](std::vector<ConstBytes> frames) {
      return parse_frames(frames).reason;
    };
    EXPECT_EQ(verdict_of({header}), payload ? Reason::kFrameMissing : Reason::kOk);
    EXPECT_EQ(verdict_of({header, body}), payload ? Reason::kOk : Reason::kFrameExtra);
    EXPECT_EQ(verdict_of({header, body, body}), Reason::kFrameExtra);
    EXPECT_EQ(verdict_of({bytes.first(0), body}), Reason::kHeaderMalformed);
    if (!payload) continue;
    EXPECT_EQ(verdict_of({header, bytes.first(0)}), Reason::kPayloadLength);
    EXPECT_EQ(verdict_of({header, bytes.first(body.size() - 1)}), Reason::kPayloadLength);
    EXPECT_EQ(verdict_of({header, bytes.first(body.size() + 1)}), Reason::kPayloadLength);
    EXPECT_EQ(verdict_of({header, bytes}), Reason::kPayloadTooLarge);
  }
}

TEST(MessageDeathTest, TooManyReceiptsInOneAreABug) {
  const Receipt receipt{1, 1, std::vector<ReceiptEntry>(limits::kReceiptsPerMessage + 1), {}};
  EXPECT_DEATH((void)build_header({kProtocolVersion, 0, receipt}), "kReceiptsPerMessage");
}

}  // namespace
}  // namespace muster::wire
