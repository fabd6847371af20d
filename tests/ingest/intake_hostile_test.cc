// Every way to be wrong, one after the other, beside an honest device that must not notice.
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "base/limits.h"
#include "tests/ingest/intake_fixture.h"
#include "tests/wire/frame.h"

namespace muster::ingest {
namespace {

using wire::Reason;

const Peer kHostile = device_peer(1);
const Peer kHonest = device_peer(2);

class HostileIntake : public IntakeTest {
 protected:
  HostileIntake() { open(); }

  /// The message is refused for this reason, counted under it alone, leaves nothing behind, and the
  /// honest device's update goes through.
  void expect_refused(Reason reason, const Frames& message, const Peer& peer = kHostile) {
    const std::uint64_t before = rejected(reason);
    const std::uint64_t all_before = rejected_in_all();
    const std::size_t free_before = slab.pool.free_count();
    const Verdict verdict = send(peer, message);
    EXPECT_EQ(wire::describe(refusal_of(verdict)).token, wire::describe(reason).token);
    EXPECT_EQ(verdict.reply->routing_id, peer.routing_id);
    EXPECT_EQ(rejected(reason), before + 1);
    EXPECT_EQ(rejected_in_all(), all_before + 1);
    EXPECT_EQ(slab.pool.free_count(), free_before);
    EXPECT_EQ(counters.accepted.value(), 0u);
  }
  void expect_honest_untouched() {
    EXPECT_EQ(whole_update(kHonest, 50).size(), 1u);
    EXPECT_EQ(counters.accepted.value(), 1u);
  }
  /// An honest chunk 0 after `spoil`.
  Frames spoiled(const std::function<void(wire::Submit&)>& spoil) const {
    const auto payload = random_payload(spec, 0, 1);
    wire::Submit submit = submit_for(spec, 0, 5, payload);
    spoil(submit);
    return frames_of(submit, payload);
  }
  /// Chunk 0 with another payload, correctly described.
  Frames with_payload(std::vector<std::byte> payload) const {
    return frames_of(submit_for(spec, 0, 5, payload), payload);
  }
};

TEST_F(HostileIntake, WhatTheMessageSaysOfItself) {
  struct Case {
    Reason reason;
    std::function<void(wire::Submit&)> spoil;
  };
  const Case cases[] = {
      {Reason::kUnknownTask, [](auto& s) { s.task = 8; }},
      {Reason::kUnknownTask, [](auto& s) { s.task = 0xffffffff; }},
      {Reason::kRoundClosed, [](auto& s) { s.round = kRound - 1; }},
      {Reason::kRoundUnknown, [](auto& s) { s.round = kRound + 1; }},
      {Reason::kModelVersionStale, [](auto& s) { s.model_version = 4; }},
      {Reason::kModelVersionStale, [](auto& s) { s.model_version = 6; }},
      {Reason::kTermsMismatch, [](auto& s) { s.terms[31] ^= std::byte{1}; }},
      {Reason::kWrongCodec, [](auto& s) { s.codec = 0; }},
      {Reason::kWrongCodec, [](auto& s) { s.codec = 200; }},
      {Reason::kWrongCodec, [](auto& s) { s.log2_block = 7; }},
      {Reason::kWrongDimension, [](auto& s) { s.dimension = 299; }},
      {Reason::kChunkCount, [](auto& s) { s.chunk_count = 2; }},
      {Reason::kChunkOutOfRange, [](auto& s) { s.chunk = 3; }},
      {Reason::kChunkOutOfRange, [](auto& s) { s.chunk = 0xffffffff; }},
      {Reason::kChunkLength, [](auto& s) { s.coordinates = 127; }},
      {Reason::kChunkLength, [](auto& s) { s.chunk = 2; }},
      {Reason::kPayloadLength, [](auto& s) { s.payload_bytes -= 1; }},
      {Reason::kWeightOutOfRange, [](auto& s) { s.weight = 0; }},
      {Reason::kWeightOutOfRange, [](auto& s) { s.weight = 101; }},
      {Reason::kNonceZero, [](auto& s) { s.nonce = 0; }},
      {Reason::kNotGateway, [](auto& s) { s.device = 1; }},
      {Reason::kChecksumMismatch, [](auto& s) { s.checksum.high ^= 1; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(wire::describe(c.reason).token);
    expect_refused(c.reason, spoiled(c.spoil));
  }
  expect_honest_untouched();
}

TEST_F(HostileIntake, FramesThatAreNoMessage) {
  const Frames honest = honest_chunk(spec, 0, 5);
  Frames message = honest;
  message.frames.pop_back();
  expect_refused(Reason::kFrameMissing, message);
  expect_refused(Reason::kFrameMissing, {});
  message = honest;
  message.frames.emplace_back();
  expect_refused(Reason::kFrameExtra, message);
  message = frames_of(wire::Hello{});
  message.frames.emplace_back(5);
  expect_refused(Reason::kFrameExtra, message);
  message = honest;
  message.frames[0].resize(limits::kHeaderBytes + 1);
  expect_refused(Reason::kHeaderTooLarge, message);
  message = honest;
  message.frames[0].clear();
  expect_refused(Reason::kHeaderMalformed, message);
  message = honest;
  message.frames[0].resize(message.frames[0].size() / 2);
  expect_refused(Reason::kHeaderMalformed, message);
  message = honest;
  message.frames[1].resize(message.frames[1].size() - 1);
  expect_refused(Reason::kPayloadLength, message);
  message = honest;
  message.frames[1].resize(limits::kPayloadBytes + 1);
  expect_refused(Reason::kPayloadTooLarge, message);
  expect_honest_untouched();
}

TEST_F(HostileIntake, APayloadOfAnotherLengthThanTheCodecs) {
  auto payload = random_payload(spec, 0, 1);
  payload.resize(payload.size() + 64);
  expect_refused(Reason::kPayloadLength, with_payload(payload));
  payload.resize(3);
  expect_refused(Reason::kPayloadLength, with_payload(payload));
  payload.clear();
  expect_refused(Reason::kPayloadLength, with_payload(payload));
  expect_honest_untouched();
}

TEST_F(HostileIntake, AnotherProtocolVersion) {
  wire::Message message;
  message.protocol = wire::kProtocolVersion + 1;
  message.body = wire::Hello{};
  Frames frames;
  frames.frames.push_back(wire::build_header(message));
  expect_refused(Reason::kProtocolVersion, frames);
  expect_honest_untouched();
}

TEST_F(HostileIntake, AHeaderWhoseTablesShareBytes) {
  // A CheckIn whose text lies inside the very table that refers to it.
  wire::Frame header(3, 48);
  header.vtable(40, 16, {4, 8});
  header.table(48, 40);
  header.refer(52, 56);
  header.u32(56, 3);
  header.text(60, std::string_view("abc\0", 4));
  header.reserve(80);
  Frames message;
  message.frames.emplace_back(header.bytes().begin(), header.bytes().end());
  expect_refused(Reason::kHeaderMalformed, message);
  expect_honest_untouched();
}

TEST_F(HostileIntake, MessagesThatOnlyAServerSends) {
  expect_refused(Reason::kUnexpectedKind, frames_of(wire::Welcome{}));
  expect_refused(Reason::kUnexpectedKind, frames_of(wire::RetryAfter{1, Reason::kDraining}));
  expect_refused(Reason::kUnexpectedKind, frames_of(wire::Refusal{}));
  const std::vector<std::byte> payload(16);
  expect_refused(Reason::kUnexpectedKind, frames_of(wire::ModelChunk{kTask, 5, 0, 3, {}}, payload));
  expect_honest_untouched();
}

TEST_F(HostileIntake, EveryFlippedBitOfThePayloadIsFound) {
  const Frames honest = honest_chunk(spec, 0, 5);
  for (std::size_t bit = 0; bit < 8 * honest.frames[1].size(); bit += 7) {
    Frames message = honest;
    message.frames[1][bit / 8] ^= std::byte{1} << bit % 8;
    expect_refused(Reason::kChecksumMismatch, message);
  }
  expect_honest_untouched();
}

TEST_F(HostileIntake, FlippedBitsOfTheHeaderNeverAdmitSomethingElse) {
  const Frames honest = honest_chunk(spec, 0, 5);
  const auto wanted = std::get<wire::Submit>(wire::parse_frames(honest.views()).message.body);
  std::size_t admitted_count = 0;
  for (std::size_t bit = 0; bit < 8 * honest.frames[0].size(); ++bit) {
    Frames message = honest;
    message.frames[0][bit / 8] ^= std::byte{1} << bit % 8;
    Intake fresh(slab.pool, secret, stats);
    fresh.open_round(spec);
    const Verdict verdict = fresh.on_message(kHostile, message.views(), now, pressure);
    if (verdict.slot == kNoSlot) {
      EXPECT_TRUE(verdict.reply);
      continue;
    }
    // Padding, the request number, and what the device alone decides: nonce and weight.
    ++admitted_count;
    const auto header = load<RecordHeader>(slab.pool.bytes(verdict.slot));
    EXPECT_EQ(header.payload_checksum, wanted.checksum) << "bit " << bit;
    EXPECT_EQ(header.chunk, wanted.chunk) << "bit " << bit;
    EXPECT_EQ(header.coordinates, wanted.coordinates) << "bit " << bit;
    EXPECT_LE(header.weight, spec.max_weight) << "bit " << bit;
    slab.pool.give_back(verdict.slot);
  }
  EXPECT_GT(admitted_count, 64u) << "the bits of the nonce at least";
}

TEST_F(HostileIntake, RandomFramesAreRefusedAndForgotten) {
  const std::uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    Frames message =
        i % 2 == 0 ? honest_chunk(spec, 0, 5) : Frames{{std::vector<std::byte>(random() % 300)}};
    for (int flips = 0; flips < 8 && !message.frames[0].empty(); ++flips)
      message.frames[0][random() % message.frames[0].size()] = static_cast<std::byte>(random());
    const Verdict verdict = send(device_peer(static_cast<std::uint8_t>(100 + i % 100)), message);
    EXPECT_TRUE(verdict.reply.has_value() != (verdict.slot != kNoSlot)) << "seed " << seed;
    if (verdict.slot == kNoSlot) continue;
    std::vector<Reply> replies;
    intake.on_durable(std::span(&verdict.slot, 1), now, replies, drained);
    slab.pool.give_back(verdict.slot);
  }
  EXPECT_EQ(slab.pool.free_count(), slab.pool.count()) << "seed " << seed;
}

TEST_F(HostileIntake, ValuesThatPoison) {
  const auto honest = random_payload(spec, 0, 1);
  auto with_scale = [&](float scale) {
    auto payload = honest;
    store(payload, 4, scale);
    return with_payload(payload);
  };
  expect_refused(Reason::kScaleInvalid, with_scale(std::numeric_limits<float>::quiet_NaN()));
  expect_refused(Reason::kScaleInvalid, with_scale(std::numeric_limits<float>::infinity()));
  expect_refused(Reason::kScaleInvalid, with_scale(-0.01f));
  expect_refused(Reason::kCoordinateOutOfBound, with_scale(1e30f));
  auto payload = honest;
  payload[8 + 77] = std::byte{0x80};
  expect_refused(Reason::kReservedCode, with_payload(payload));
  expect_honest_untouched();
}

TEST_F(HostileIntake, FloatsThatPoison) {
  for (const Codec codec : {Codec::kF32, Codec::kF16, Codec::kBF16}) {
    RoundSpec floats = plain_round(codec, 32, 1);
    floats.task = 20 + static_cast<TaskId>(codec);
    floats.task_name = codec_name(codec);
    intake.open_round(floats);
    const std::size_t width = codec == Codec::kF32 ? 4 : 2;
    auto with_bits = [&](std::uint32_t single, std::uint16_t half, std::uint16_t brain) {
      auto payload = random_payload(floats, 0, 1);
      if (codec == Codec::kF32)
        store(payload, 5 * width, single);
      else
        store(payload, 5 * width, codec == Codec::kF16 ? half : brain);
      return frames_of(submit_for(floats, 0, 5, payload), payload);
    };
    expect_refused(Reason::kValueNotFinite, with_bits(0x7fc00000, 0x7e00, 0x7fc0));
    expect_refused(Reason::kValueNotFinite, with_bits(0xff800000, 0xfc00, 0xff80));
    expect_refused(Reason::kCoordinateOutOfBound, with_bits(0x41800001, 0x4c01, 0x4181));
  }
  expect_honest_untouched();
}

TEST_F(HostileIntake, WhoIsNotKnownOrNoMore) {
  Peer stranger = kHostile;
  stranger.key.state = KeyState::kUnknown;
  expect_refused(Reason::kNotEnrolled, honest_chunk(spec, 0, 5), stranger);
  expect_refused(Reason::kNotEnrolled, frames_of(wire::Hello{}), stranger);
  Peer revoked = kHostile;
  revoked.key.state = KeyState::kRevoked;
  expect_refused(Reason::kRevoked, honest_chunk(spec, 0, 5), revoked);
  expect_refused(Reason::kRevoked, frames_of(wire::CheckIn{kTaskName, 0}), revoked);
  expect_refused(Reason::kNotGateway, frames_of(wire::CheckIn{kTaskName, 3}));
  expect_refused(Reason::kNotGateway, frames_of(wire::QueryMissing{kTask, kRound, 3, 1}));
  expect_honest_untouched();
}

TEST_F(HostileIntake, WhoSaysTwoThings) {
  submit(kHostile, honest_chunk(spec, 0, 5));
  expect_refused(Reason::kDuplicate, honest_chunk(spec, 0, 5));
  expect_refused(Reason::kEquivocation, honest_chunk(spec, 0, 5, 2));
  expect_refused(Reason::kSecondUpdate, honest_chunk(spec, 0, 6));
  expect_refused(Reason::kSecondUpdate, honest_chunk(spec, 1, 6));
  const auto payload = random_payload(spec, 1, 1);
  auto heavier = submit_for(spec, 1, 5, payload);
  heavier.weight += 1;
  expect_refused(Reason::kEquivocation, frames_of(heavier, payload));
  // A damaged resend is damage, not a second story.
  Frames damaged = honest_chunk(spec, 0, 5);
  auto header = submit_for(spec, 0, 5, damaged.frames[1]);
  header.checksum.low ^= 16;
  expect_refused(Reason::kChecksumMismatch, frames_of(header, damaged.frames[1]));
  commit();
  expect_refused(Reason::kEquivocation, honest_chunk(spec, 0, 5, 2));
  expect_honest_untouched();
}

TEST_F(HostileIntake, WhoEquivocatesAfterTheReceiptIsFoundToo) {
  whole_update(kHostile, 5);
  EXPECT_EQ(refusal_of(send(kHostile, honest_chunk(spec, 1, 5, 2))), Reason::kEquivocation);
  EXPECT_EQ(refusal_of(send(kHostile, honest_chunk(spec, 1, 9))), Reason::kSecondUpdate);
  EXPECT_EQ(counters.accepted.value(), 1u);
}

TEST_F(HostileIntake, WhatIsRightButNotNow) {
  const Frames honest = honest_chunk(spec, 0, 5);
  pressure.retry_ms = 1234;
  auto expect_later = [&](Reason reason) {
    const Verdict verdict = send(kHostile, honest);
    EXPECT_EQ(body_of<wire::Refusal>(verdict).retry_ms, 1234u);
    EXPECT_EQ(refusal_of(verdict), reason);
  };
  pressure.disk_low = true;
  expect_later(Reason::kDiskLow);
  pressure.draining = true;
  expect_later(Reason::kDraining);
  pressure.storage_fault = true;
  EXPECT_EQ(refusal_of(send(kHostile, honest)), Reason::kStorageFault);
  pressure = {};
  pressure.retry_ms = 1234;
  std::vector<SlotIndex> taken;
  while (const auto slot = slab.pool.take()) taken.push_back(*slot);
  expect_later(Reason::kSlabFull);
  for (const SlotIndex slot : taken) slab.pool.give_back(slot);
  expect_honest_untouched();
}

TEST_F(HostileIntake, TheCohortHoldsItsNumberAndNoHalfMadeEntries) {
  // Failed chunks of many devices take no seat.
  for (std::uint8_t number = 10; number < 30; ++number)
    expect_refused(Reason::kChecksumMismatch, spoiled([](auto& s) { s.checksum.low ^= 1; }),
                   device_peer(number));
  for (std::uint8_t number = 10; number < 14; ++number)
    submit(device_peer(number), honest_chunk(spec, 0, 5));
  expect_refused(Reason::kCohortFull, honest_chunk(spec, 0, 5), device_peer(14));
  EXPECT_NE(submit(device_peer(12), honest_chunk(spec, 1, 5)).slot, kNoSlot) << "it has its seat";
}

TEST_F(HostileIntake, ARefusalRepeatsWhatItAnswers) {
  auto message = spoiled([](auto& s) { s.weight = 0; });
  const Verdict verdict = send(kHostile, message);
  const auto& refusal = body_of<wire::Refusal>(verdict);
  EXPECT_EQ(refusal.task, kTask);
  EXPECT_EQ(refusal.round, kRound);
  EXPECT_EQ(refusal.nonce, 5u);
  EXPECT_EQ(refusal.chunk, 0u);
  EXPECT_EQ(refusal.device, 0u);
  EXPECT_EQ(verdict.reply->message.request, 1u);
}

TEST_F(HostileIntake, AReplayFromAnotherDeviceIsItsOwnUpdate) {
  // A recorded body under another key does not touch the first one's update, nor take its name.
  const Frames recorded = honest_chunk(spec, 0, 5);
  const SlotIndex first = submit(kHonest, recorded).slot;
  const SlotIndex second = submit(kHostile, recorded).slot;
  ASSERT_NE(second, kNoSlot);
  EXPECT_NE(load<RecordHeader>(slab.pool.bytes(first)).update,
            load<RecordHeader>(slab.pool.bytes(second)).update);
}

}  // namespace
}  // namespace muster::ingest
