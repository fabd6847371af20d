// What intake does for honest devices.
#include "ingest/intake.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "base/limits.h"
#include "tests/ingest/intake_fixture.h"

namespace muster::ingest {
namespace {

using wire::Reason;

const Peer kDevice = device_peer(1);
const Peer kOther = device_peer(2);
const Peer kGateway = device_peer(9, KeyRole::kGateway);

class Intaking : public IntakeTest {
 protected:
  Intaking() { open(); }
};

TEST_F(Intaking, AChunkLiesInItsSlotAsARecord) {
  const auto payload = random_payload(spec, 2, 4);
  const Verdict verdict = submit(kDevice, frames_of(submit_for(spec, 2, 77, payload), payload));
  ASSERT_NE(verdict.slot, kNoSlot);
  EXPECT_FALSE(verdict.reply);
  const auto header = load<RecordHeader>(slab.pool.bytes(verdict.slot));
  EXPECT_EQ(header.magic, kRecordMagic);
  EXPECT_EQ(header.task, kTask);
  EXPECT_EQ(header.round, kRound);
  EXPECT_EQ(header.nonce, 77u);
  EXPECT_EQ(header.chunk, 2u);
  EXPECT_EQ(header.chunk_count, 3u);
  EXPECT_EQ(header.coordinates, 44u);
  EXPECT_EQ(header.weight, 10u);
  EXPECT_EQ(header.codec, static_cast<std::uint8_t>(Codec::kI8B));
  EXPECT_EQ(header.log2_block, 6);
  EXPECT_EQ(header.device, device_hash(secret, as_bytes(kDevice.user_id), 0));
  EXPECT_EQ(header.update, update_id(secret, kTask, kRound, header.device, 77));
  EXPECT_EQ(header.payload_checksum, checksum(payload));
  ASSERT_EQ(header.payload_bytes, payload.size());
  EXPECT_EQ(std::memcmp(slab.pool.bytes(verdict.slot).data() + kRecordHeaderBytes, payload.data(),
                        payload.size()),
            0);
}

TEST_F(Intaking, TheReceiptFollowsTheLastDurableChunkInAnyOrder) {
  for (const std::uint32_t chunk : {2u, 0u}) {
    submit(kDevice, honest_chunk(spec, chunk, 5));
    EXPECT_TRUE(commit().empty());
  }
  now += 3 * kMillisecond;
  submit(kDevice, honest_chunk(spec, 1, 5));
  const auto replies = commit();
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].routing_id, kDevice.routing_id);
  EXPECT_EQ(replies[0].message.request, 0u);
  const auto& receipt = std::get<wire::Receipt>(replies[0].message.body);
  ASSERT_EQ(receipt.entries.size(), 1u);
  EXPECT_EQ(receipt.entries[0].nonce, 5u);
  EXPECT_EQ(receipt.entries[0].device, 0u);
  EXPECT_EQ(counters.accepted.value(), 1u);
  EXPECT_EQ(counters.received.value(), 3u);
}

TEST_F(Intaking, AResentUpdateGetsTheSameReceiptEvenWhenNothingIsTaken) {
  const auto first = std::get<wire::Receipt>(whole_update(kDevice, 5)[0].message.body);
  for (int state = 0; state < 4; ++state) {
    pressure = {state == 1, state == 2, state == 3, 500};
    const auto again = body_of<wire::Receipt>(send(kDevice, honest_chunk(spec, 1, 5)));
    ASSERT_EQ(again.entries.size(), 1u);
    EXPECT_EQ(again.entries[0].update, first.entries[0].update);
  }
  EXPECT_EQ(counters.duplicates.value(), 4u);
  EXPECT_EQ(counters.accepted.value(), 1u);
  EXPECT_EQ(rejected_in_all(), 0u);
  EXPECT_EQ(slab.pool.free_count(), slab.pool.count());
}

TEST_F(Intaking, AChunkOnItsWayOrOnDiskIsADuplicate) {
  submit(kDevice, honest_chunk(spec, 0, 5));
  EXPECT_EQ(refusal_of(send(kDevice, honest_chunk(spec, 0, 5))), Reason::kDuplicate);
  commit();
  EXPECT_EQ(refusal_of(send(kDevice, honest_chunk(spec, 0, 5))), Reason::kDuplicate);
  EXPECT_EQ(rejected(Reason::kDuplicate), 2u);
}

TEST_F(Intaking, AGatewaySpeaksForTheDevicesBehindIt) {
  std::vector<std::uint64_t> numbers = {0, 41, 42};
  for (const std::uint64_t device : numbers)
    for (std::uint32_t chunk = 0; chunk < 3; ++chunk) {
      const auto payload = random_payload(spec, chunk, device);
      auto message = submit_for(spec, chunk, 1, payload);
      message.device = device;
      EXPECT_NE(submit(kGateway, frames_of(message, payload)).slot, kNoSlot);
    }
  const auto replies = commit();
  ASSERT_EQ(replies.size(), 1u) << "one message for the whole commit";
  const auto& receipt = std::get<wire::Receipt>(replies[0].message.body);
  ASSERT_EQ(receipt.entries.size(), 3u);
  std::vector<std::uint64_t> told;
  for (const auto& entry : receipt.entries) told.push_back(entry.device);
  EXPECT_EQ(told, numbers);
}

TEST_F(Intaking, ASlotThatCameBackEarlyIsNotReusedBeforeWeHeardOfIt) {
  while (slab.pool.free_count() > 1) slab.pool.take();
  const SlotIndex slot = submit(kDevice, honest_chunk(spec, 0, 5)).slot;
  slab.pool.give_back(slot);  // the engine was faster than the news
  EXPECT_EQ(refusal_of(send(kOther, honest_chunk(spec, 0, 5))), Reason::kSlabFull);
  std::vector<Reply> replies;
  intake.on_durable(admitted, now, replies, drained);
  admitted.clear();
  EXPECT_EQ(submit(kOther, honest_chunk(spec, 0, 5)).slot, slot);
}

TEST_F(Intaking, ARoundIsDrainedWhenItsLastChunkIsDurable) {
  EXPECT_TRUE(intake.close_round(kTask, kRound + 1)) << "unknown: nothing to wait for";
  submit(kDevice, honest_chunk(spec, 0, 5));
  submit(kDevice, honest_chunk(spec, 1, 5));
  EXPECT_FALSE(intake.close_round(kTask, kRound));
  EXPECT_EQ(refusal_of(send(kOther, honest_chunk(spec, 0, 5))), Reason::kRoundClosed);
  commit();
  ASSERT_EQ(drained.size(), 1u);
  EXPECT_EQ(drained[0], std::pair(kTask, kRound));
  EXPECT_TRUE(intake.close_round(kTask, kRound));
}

TEST_F(Intaking, AClosedRoundStillAnswersForWhatMadeIt) {
  whole_update(kDevice, 5);
  submit(kOther, honest_chunk(spec, 0, 6));
  intake.close_round(kTask, kRound);
  commit();
  EXPECT_EQ(body_of<wire::Receipt>(send(kDevice, honest_chunk(spec, 0, 5))).entries.size(), 1u);
  EXPECT_EQ(refusal_of(send(kOther, honest_chunk(spec, 0, 6))), Reason::kRoundClosed)
      << "half of an update did not make it";
  EXPECT_EQ(refusal_of(send(kOther, honest_chunk(spec, 1, 6))), Reason::kRoundClosed);
}

/// The spec of a private round, with the ledger as it stood.
class PrivateIntake : public IntakeTest {
 protected:
  PrivateIntake() {
    spec.ledger = LedgerHead{462, {std::byte{7}}};
    open();
  }
};

TEST_F(PrivateIntake, EveryReceiptOfARoundNamesTheSameLedger) {
  const auto replies = whole_update(kDevice, 5);
  EXPECT_EQ(std::get<wire::Receipt>(replies[0].message.body).ledger, spec.ledger);
  EXPECT_EQ(body_of<wire::Receipt>(send(kDevice, honest_chunk(spec, 1, 5))).ledger, spec.ledger);
  const auto first = std::get<wire::Receipt>(replies[0].message.body);
  intake.forget_round(kTask, kRound);
  intake.remember_sealed(kTask, kTaskName, {kRound, {first.entries[0].update}, spec.ledger});
  EXPECT_EQ(body_of<wire::Receipt>(send(kDevice, honest_chunk(spec, 0, 5))), first);
}

TEST_F(Intaking, ASealedRoundIsRememberedById) {
  const auto receipt = std::get<wire::Receipt>(whole_update(kDevice, 5)[0].message.body);
  intake.close_round(kTask, kRound);
  intake.forget_round(kTask, kRound);
  intake.remember_sealed(kTask, kTaskName,
                         {kRound, {{~0ull, ~0ull}, receipt.entries[0].update, {}}, {}});
  const auto again = body_of<wire::Receipt>(send(kDevice, honest_chunk(spec, 0, 5)));
  EXPECT_EQ(again.entries[0].update, receipt.entries[0].update);
  EXPECT_EQ(refusal_of(send(kDevice, honest_chunk(spec, 0, 6))), Reason::kRoundClosed);
  EXPECT_EQ(refusal_of(send(kOther, honest_chunk(spec, 0, 5))), Reason::kRoundClosed);
  intake.forget_round(kTask, kRound);
  EXPECT_EQ(refusal_of(send(kDevice, honest_chunk(spec, 0, 5))), Reason::kRoundClosed);
}

TEST_F(Intaking, AForgottenRoundGoesWithItsLastChunk) {
  submit(kDevice, honest_chunk(spec, 0, 5));
  intake.forget_round(kTask, kRound);
  commit();
  EXPECT_EQ(drained.size(), 1u);
  spec.round = kRound + 1;
  open();
  EXPECT_EQ(whole_update(kDevice, 6).size(), 1u);
}

TEST_F(Intaking, ARestartKnowsWhatIsDurable) {
  std::vector<RecordHeader> records;
  for (std::uint32_t chunk = 0; chunk < 3; ++chunk)
    records.push_back(
        load<RecordHeader>(slab.pool.bytes(submit(kDevice, honest_chunk(spec, chunk, 5)).slot)));
  records.push_back(
      load<RecordHeader>(slab.pool.bytes(submit(kOther, honest_chunk(spec, 1, 6)).slot)));
  Intake restarted(slab.pool, secret, stats);
  restarted.open_round(spec, records);
  auto send_again = [&](const Peer& peer, const Frames& message) {
    return restarted.on_message(peer, message.views(), now, pressure);
  };
  EXPECT_EQ(body_of<wire::Receipt>(send_again(kDevice, honest_chunk(spec, 2, 5))).entries.size(),
            1u);
  EXPECT_EQ(refusal_of(send_again(kDevice, honest_chunk(spec, 2, 7))), Reason::kSecondUpdate);
  EXPECT_EQ(refusal_of(send_again(kOther, honest_chunk(spec, 1, 6, 2))), Reason::kEquivocation);
  const auto missing = body_of<wire::MissingChunks>(
      send_again(kOther, frames_of(wire::QueryMissing{kTask, kRound, 0, 6})));
  EXPECT_EQ(missing.bitmap, std::vector<std::uint8_t>{0b101});
}

TEST_F(Intaking, QueryMissingNamesTheChunksThatAreNowhere) {
  const Frames query = frames_of(wire::QueryMissing{kTask, kRound, 0, 5});
  EXPECT_EQ(body_of<wire::MissingChunks>(send(kDevice, query)).bitmap,
            std::vector<std::uint8_t>{0b111});
  submit(kDevice, honest_chunk(spec, 1, 5));
  const auto missing = body_of<wire::MissingChunks>(send(kDevice, query));
  EXPECT_EQ(missing.bitmap, std::vector<std::uint8_t>{0b101});
  EXPECT_EQ(missing.chunk_count, 3u);
  EXPECT_EQ(missing.nonce, 5u);
  submit(kDevice, honest_chunk(spec, 0, 5));
  submit(kDevice, honest_chunk(spec, 2, 5));
  EXPECT_EQ(body_of<wire::MissingChunks>(send(kDevice, query)).bitmap, std::vector<std::uint8_t>{0})
      << "on their way";
  commit();
  EXPECT_EQ(body_of<wire::Receipt>(send(kDevice, query)).entries.size(), 1u);
  EXPECT_EQ(refusal_of(send(kDevice, frames_of(wire::QueryMissing{kTask, kRound, 0, 6}))),
            Reason::kSecondUpdate);
}

TEST_F(Intaking, AnAssignmentSaysAllOfTheRound) {
  intake.close_round(kTask, kRound);
  intake.forget_round(kTask, kRound);
  spec.round = 4;
  spec.deadline = now + 90 * kSecond;
  open();
  const auto assignment =
      body_of<wire::Assignment>(send(kDevice, frames_of(wire::CheckIn{kTaskName, 0}, {}, 31)));
  EXPECT_EQ(assignment.task, kTask);
  EXPECT_EQ(assignment.round, 4u);
  EXPECT_EQ(assignment.model_version, 5u);
  EXPECT_EQ(assignment.dimension, 300u);
  EXPECT_EQ(assignment.chunk_coordinates, 128u);
  EXPECT_EQ(assignment.format, spec.format);
  EXPECT_EQ(assignment.value_bound, 16.0f);
  EXPECT_EQ(assignment.max_weight, 100u);
  EXPECT_EQ(assignment.deadline_ms, 90'000u);
  EXPECT_EQ(assignment.terms, spec.terms);
  now += 90 * kSecond;
  EXPECT_EQ(body_of<wire::RetryAfter>(send(kDevice, frames_of(wire::CheckIn{kTaskName, 0}))).reason,
            Reason::kNoOpenRound);
}

TEST_F(Intaking, WorkGoesToSoManyDevicesAndToEachAgain) {
  auto check_in = [&](std::uint8_t number) {
    return send(device_peer(number), frames_of(wire::CheckIn{kTaskName, 0}));
  };
  for (std::uint8_t number = 1; number <= 4; ++number) body_of<wire::Assignment>(check_in(number));
  const auto wait = body_of<wire::RetryAfter>(check_in(5));
  EXPECT_EQ(wait.reason, Reason::kCohortFull);
  EXPECT_EQ(wait.retry_ms, pressure.retry_ms);
  EXPECT_EQ(body_of<wire::Assignment>(check_in(2)).round, kRound);
  whole_update(device_peer(2), 8);
  EXPECT_EQ(body_of<wire::RetryAfter>(check_in(2)).reason, Reason::kNoOpenRound) << "it is done";
  EXPECT_EQ(counters.assigned.value(), 5u);
  EXPECT_EQ(counters.put_off.value(), 2u);
}

TEST_F(Intaking, WorkIsHandedOutOnlyWhileItCanBeTaken) {
  const Frames check_in = frames_of(wire::CheckIn{kTaskName, 0});
  pressure.disk_low = true;
  EXPECT_EQ(body_of<wire::RetryAfter>(send(kDevice, check_in)).reason, Reason::kDiskLow);
  pressure.draining = true;
  EXPECT_EQ(body_of<wire::RetryAfter>(send(kDevice, check_in)).reason, Reason::kDraining);
  pressure.storage_fault = true;
  EXPECT_EQ(body_of<wire::RetryAfter>(send(kDevice, check_in)).reason, Reason::kStorageFault);
  pressure = {};
  intake.close_round(kTask, kRound);
  EXPECT_EQ(body_of<wire::RetryAfter>(send(kDevice, check_in)).reason, Reason::kNoOpenRound);
}

TEST_F(Intaking, TheModelIsServedChunkByChunkWithoutACopy) {
  std::size_t bytes = 0;
  for (std::uint32_t chunk = 0; chunk < 3; ++chunk) {
    const Verdict verdict = send(kDevice, frames_of(wire::FetchModel{kTask, 5, chunk}));
    const auto& head = body_of<wire::ModelChunk>(verdict);
    EXPECT_EQ(head.chunk_count, 3u);
    EXPECT_EQ(head.checksum, checksum(verdict.reply->payload));
    EXPECT_EQ(verdict.reply->payload.data(),
              reinterpret_cast<const std::byte*>(spec.model->values.data()) + bytes);
    bytes += verdict.reply->payload.size();
  }
  EXPECT_EQ(bytes, 300 * sizeof(float));
  EXPECT_EQ(refusal_of(send(kDevice, frames_of(wire::FetchModel{kTask, 5, 3}))),
            Reason::kChunkOutOfRange);
  EXPECT_EQ(refusal_of(send(kDevice, frames_of(wire::FetchModel{kTask, 4, 0}))),
            Reason::kModelUnknown);
}

TEST_F(Intaking, HelloAgreesOnAVersion) {
  const Verdict verdict = send(kDevice, frames_of(wire::Hello{9}, {}, 12));
  EXPECT_EQ(body_of<wire::Welcome>(verdict).protocol, wire::kProtocolVersion);
  EXPECT_EQ(verdict.reply->message.request, 12u);
  EXPECT_EQ(refusal_of(send(kDevice, frames_of(wire::Hello{0}))), Reason::kProtocolVersion);
}

class CrowdedIntake : public IntakeTest {
 protected:
  static RoundSpec crowd() {
    RoundSpec spec = plain_round(Codec::kF32, 64, 1);
    spec.max_updates = spec.max_assigned = 1000;
    return spec;
  }
  CrowdedIntake() : IntakeTest(crowd(), 1000) { open(); }
};

TEST_F(CrowdedIntake, ReceiptsAreCoalescedUpToTheirLimit) {
  for (std::uint64_t device = 1; device <= 600; ++device) {
    const auto payload = random_payload(spec, 0, device);
    auto message = submit_for(spec, 0, device, payload);
    message.device = device;
    Peer peer = kGateway;
    if (device % 2 == 0) peer.routing_id = "another way";
    ASSERT_NE(submit(peer, frames_of(message, payload)).slot, kNoSlot);
  }
  std::size_t entries = 0;
  const auto replies = commit();
  EXPECT_EQ(replies.size(), 4u) << "300 by each of two ways, 256 to a message";
  for (const Reply& reply : replies) {
    const auto& receipt = std::get<wire::Receipt>(reply.message.body);
    EXPECT_LE(receipt.entries.size(), limits::kReceiptsPerMessage);
    for (const auto& entry : receipt.entries)
      EXPECT_EQ(reply.routing_id == "another way", entry.device % 2 == 0);
    entries += receipt.entries.size();
  }
  EXPECT_EQ(entries, 600u);
}

TEST_F(CrowdedIntake, SharedScalesAreThoseOfTheChunk) {
  RoundSpec shared = plain_round(Codec::kI8S, 64, 2);
  shared.task = kTask + 1;
  shared.task_name = "shared";
  shared.scale_exponents = {-7, 10};
  intake.open_round(shared);
  std::vector<std::byte> codes(64, std::byte{100});
  EXPECT_NE(submit(kDevice, frames_of(submit_for(shared, 0, 1, codes), codes)).slot, kNoSlot);
  EXPECT_EQ(refusal_of(send(kDevice, frames_of(submit_for(shared, 1, 1, codes), codes))),
            Reason::kCoordinateOutOfBound);
}

}  // namespace
}  // namespace muster::ingest
