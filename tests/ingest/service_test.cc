#include "ingest/service.h"

#include <gtest/gtest.h>

#include "tests/ingest/node.h"

namespace muster::ingest {
namespace {

using wire::Reason;

ServiceOptions plain() {
  ServiceOptions options;
  options.curve = false;
  return options;
}

Reason refusal_of(const std::optional<wire::Message>& message) {
  if (!message) return Reason::kOk;
  const auto* const refusal = std::get_if<wire::Refusal>(&message->body);
  return refusal == nullptr ? Reason::kOk : refusal->reason;
}

/// Sends a whole honest update and returns the receipt.
std::optional<wire::Receipt> submit_update(RawDevice& device, const RoundSpec& spec,
                                           std::uint64_t nonce) {
  for (std::uint32_t chunk = 0; chunk < spec.chunk_count; ++chunk)
    device.send(honest_chunk(spec, chunk, nonce));
  const auto message = device.receive();
  if (!message || !std::holds_alternative<wire::Receipt>(message->body)) return std::nullopt;
  return std::get<wire::Receipt>(message->body);
}

class CurveService : public ::testing::Test {
 protected:
  CurveService() {
    node.keys.enroll(device_key.public_key, KeyRole::kDevice);
    node.keys.enroll(other_key.public_key, KeyRole::kDevice);
    node.service->open_round(spec, {});
  }
  TestNode node;
  RoundSpec spec = small_round();
  KeyPair device_key = new_key_pair();
  KeyPair other_key = new_key_pair();
};

TEST_F(CurveService, ADeviceJoinsFetchesSubmitsAndGetsItsReceipt) {
  RawDevice device(node, &device_key);
  auto reply = device.ask(frames_of(wire::Hello{}));
  ASSERT_TRUE(reply && std::holds_alternative<wire::Welcome>(reply->body));
  reply = device.ask(frames_of(wire::CheckIn{kTaskName, 0}));
  ASSERT_TRUE(reply && std::holds_alternative<wire::Assignment>(reply->body));
  reply = device.ask(frames_of(wire::FetchModel{kTask, 5, 2}));
  ASSERT_TRUE(reply && std::holds_alternative<wire::ModelChunk>(reply->body));
  EXPECT_EQ(device.payload().size(), 44 * sizeof(float));
  EXPECT_EQ(checksum(device.payload()), std::get<wire::ModelChunk>(reply->body).checksum);

  const auto receipt = submit_update(device, spec, 11);
  ASSERT_TRUE(receipt);
  ASSERT_EQ(receipt->entries.size(), 1u);
  EXPECT_EQ(receipt->entries[0].nonce, 11u);
  const auto committed = node.spool.committed();
  ASSERT_EQ(committed.size(), 3u);
  for (const RecordHeader& record : committed) EXPECT_EQ(record.update, receipt->entries[0].update);
  for (int i = 0; i < 3; ++i) {
    const auto arrival = node.next();
    ASSERT_TRUE(arrival);
    EXPECT_EQ(arrival->header.update, receipt->entries[0].update);
    node.slab.pool.give_back(arrival->slot);
  }
  node.service->close_round(kTask, kRound);
  const auto drained = node.next();
  ASSERT_TRUE(drained);
  EXPECT_EQ(drained->kind, Arrival::Kind::kRoundDrained);
}

TEST_F(CurveService, IdentityIsTheKeyNotTheConnection) {
  std::optional<wire::Receipt> first;
  {
    RawDevice device(node, &device_key);
    first = submit_update(device, spec, 11);
  }
  RawDevice again(node, &device_key);
  const auto second = again.ask(honest_chunk(spec, 0, 11));
  ASSERT_TRUE(first && second && std::holds_alternative<wire::Receipt>(second->body));
  EXPECT_EQ(std::get<wire::Receipt>(second->body).entries[0].update, first->entries[0].update);
  RawDevice other(node, &other_key);
  const auto others = submit_update(other, spec, 11);
  ASSERT_TRUE(others);
  EXPECT_NE(others->entries[0].update, first->entries[0].update);
}

TEST_F(CurveService, AnUnknownKeyGetsNothing) {
  const KeyPair stranger = new_key_pair();
  RawDevice device(node, &stranger);
  device.send(frames_of(wire::Hello{}));
  EXPECT_TRUE(device.await_end());
  EXPECT_FALSE(device.receive(0));
  EXPECT_TRUE(node.await_metric("muster_handshakes_total", "unknown_key", 1));
  RawDevice plain_device(node, nullptr);
  plain_device.send(frames_of(wire::Hello{}));
  EXPECT_TRUE(plain_device.await_end());
  RawDevice honest(node, &other_key);
  EXPECT_TRUE(submit_update(honest, spec, 1));
  EXPECT_EQ(node.metric("muster_handshakes_total", "accepted"), 1);
}

TEST_F(CurveService, ARevokedKeyIsRefusedFromTheNextMessageAndCut) {
  RawDevice device(node, &device_key);
  RawDevice neighbour(node, &other_key);
  ASSERT_TRUE(device.ask(frames_of(wire::Hello{})));
  ASSERT_TRUE(neighbour.ask(frames_of(wire::Hello{})));
  node.keys.revoke(device_key.public_key);
  EXPECT_EQ(refusal_of(device.ask(honest_chunk(spec, 0, 1))), Reason::kRevoked);
  EXPECT_TRUE(device.await_end());
  EXPECT_TRUE(submit_update(neighbour, spec, 1)) << "on the connection it had";
  RawDevice again(node, &device_key);
  EXPECT_TRUE(again.await_end());
  EXPECT_EQ(node.metric("muster_handshakes_total", "revoked"), 1);
}

TEST_F(CurveService, DisconnectCutsTheKeyAtOnceAndNobodyElse) {
  RawDevice device(node, &device_key);
  RawDevice neighbour(node, &other_key);
  ASSERT_TRUE(device.ask(frames_of(wire::Hello{})));
  ASSERT_TRUE(neighbour.ask(frames_of(wire::Hello{})));
  node.keys.revoke(device_key.public_key);
  node.service->disconnect(device_key.public_key);
  EXPECT_TRUE(device.await_end());
  EXPECT_TRUE(submit_update(neighbour, spec, 1));
}

TEST_F(CurveService, ABrokenSpoolGivesNoReceipt) {
  node.spool.broken = true;
  RawDevice device(node, &device_key);
  for (std::uint32_t chunk = 0; chunk < 3; ++chunk) device.send(honest_chunk(spec, chunk, 1));
  EXPECT_EQ(node.fault.get_future().get().reason(), "io_error");
  node.spool.broken = false;
  EXPECT_EQ(refusal_of(device.ask(honest_chunk(spec, 0, 2))), Reason::kSecondUpdate)
      << "the first answer on this connection is no receipt";
  RawDevice other(node, &other_key);
  EXPECT_EQ(refusal_of(other.ask(honest_chunk(spec, 0, 2))), Reason::kStorageFault);
  node.service->stop();
  EXPECT_FALSE(device.receive(0));
  EXPECT_EQ(node.arrivals.size(), 0u);
  EXPECT_EQ(node.metric("muster_updates_accepted_total"), 0);
}

TEST_F(CurveService, DrainRefusesNewUpdatesButAnswersForDurableOnes) {
  RawDevice device(node, &device_key);
  ASSERT_TRUE(submit_update(device, spec, 11));
  node.service->drain();
  RawDevice other(node, &other_key);
  EXPECT_EQ(refusal_of(other.ask(honest_chunk(spec, 0, 1))), Reason::kDraining);
  const auto wait = other.ask(frames_of(wire::CheckIn{kTaskName, 0}));
  ASSERT_TRUE(wait && std::holds_alternative<wire::RetryAfter>(wait->body));
  EXPECT_EQ(std::get<wire::RetryAfter>(wait->body).reason, Reason::kDraining);
  const auto again = device.ask(honest_chunk(spec, 1, 11));
  EXPECT_TRUE(again && std::holds_alternative<wire::Receipt>(again->body));
}

TEST_F(CurveService, MoreFramesThanTwoAreRefused) {
  RawDevice device(node, &device_key);
  Frames message = honest_chunk(spec, 0, 1);
  for (int i = 0; i < 20; ++i) message.frames.emplace_back(100);
  EXPECT_EQ(refusal_of(device.ask(message)), Reason::kFrameExtra);
  EXPECT_TRUE(submit_update(device, spec, 1));
}

/// All slots of a node that are free.
std::vector<SlotIndex> take_all(SlotPool& pool) {
  std::vector<SlotIndex> taken;
  while (const auto slot = pool.take()) taken.push_back(*slot);
  return taken;
}

TEST_F(CurveService, AFullSlabIsARefusalOnceTheWaitIsOverAndWorksAgainWhenSlotsComeBack) {
  ServiceOptions hasty;
  hasty.slot_patience = 20 * kMillisecond;
  TestNode full(hasty);
  full.keys.enroll(device_key.public_key, KeyRole::kDevice);
  full.service->open_round(spec, {});
  const std::vector<SlotIndex> taken = take_all(full.slab.pool);
  RawDevice device(full, &device_key);
  EXPECT_EQ(refusal_of(device.ask(honest_chunk(spec, 0, 1))), Reason::kSlabFull);
  for (const SlotIndex slot : taken) full.slab.pool.give_back(slot);
  EXPECT_TRUE(submit_update(device, spec, 1));
}

TEST_F(CurveService, UpdatesOfAFewPeersWaitForSlots) {
  ServiceOptions options;
  options.slot_patience = 3'600 * kSecond;
  TestNode patient(options);
  patient.keys.enroll(device_key.public_key, KeyRole::kDevice);
  patient.service->open_round(spec, {});
  const std::vector<SlotIndex> taken = take_all(patient.slab.pool);
  RawDevice device(patient, &device_key);
  for (std::uint32_t chunk = 0; chunk < spec.chunk_count; ++chunk)
    device.send(honest_chunk(spec, chunk, 1));
  ASSERT_TRUE(patient.await_metric("muster_backpressure_seconds_total", "", 1e-9));
  for (const SlotIndex slot : taken) patient.slab.pool.give_back(slot);
  const auto answer = device.receive();
  EXPECT_TRUE(answer && std::holds_alternative<wire::Receipt>(answer->body));
}

TEST_F(CurveService, UpdatesOfMorePeersThanTheSlabHasRoomForAreRefusedAtOnce) {
  ServiceOptions options;
  options.slot_patience = 3'600 * kSecond;
  const auto slots = static_cast<std::size_t>(options.receive_high_water);
  TestNode crowded(options, slots);
  crowded.keys.enroll(device_key.public_key, KeyRole::kDevice);
  crowded.keys.enroll(other_key.public_key, KeyRole::kDevice);
  crowded.service->open_round(spec, {});
  RawDevice device(crowded, &device_key), other(crowded, &other_key);
  ASSERT_TRUE(other.ask(frames_of(wire::Hello{})));
  take_all(crowded.slab.pool);
  EXPECT_EQ(refusal_of(device.ask(honest_chunk(spec, 0, 1))), Reason::kSlabFull);
}

TEST_F(CurveService, StopCommitsAndAnswersWhatWasAdmitted) {
  ServiceOptions slow;
  slow.commit_window = 500 * kMillisecond;
  TestNode patient(slow);
  patient.keys.enroll(device_key.public_key, KeyRole::kDevice);
  patient.service->open_round(spec, {});
  RawDevice device(patient, &device_key);
  for (std::uint32_t chunk = 0; chunk < 3; ++chunk) device.send(honest_chunk(spec, chunk, 1));
  ASSERT_TRUE(patient.await_metric("muster_ingest_bytes_total", "i8b", 1));
  patient.service->stop();
  patient.service->stop();
  patient.service->close_round(kTask, kRound);
  patient.service->release_round(kTask, kRound);
  // Of the three chunks those that were read are on disk.
  EXPECT_GE(patient.spool.committed().size(), 1u);
  if (patient.spool.committed().size() == 3) {
    const auto receipt = device.receive();
    EXPECT_TRUE(receipt && std::holds_alternative<wire::Receipt>(receipt->body));
  }
}

TEST(PlainService, ServesGatewaysOnLoopbackByRoutingId) {
  TestNode node(plain());
  ASSERT_TRUE(node.started.ok()) << node.started.to_string();
  const RoundSpec spec = small_round();
  node.service->open_round(spec, {});
  RawDevice gateway(node, nullptr);
  for (std::uint32_t chunk = 0; chunk < 3; ++chunk) {
    const auto payload = random_payload(spec, chunk, 1);
    auto message = submit_for(spec, chunk, 1, payload);
    message.device = 99;
    gateway.send(frames_of(message, payload));
  }
  const auto reply = gateway.receive();
  ASSERT_TRUE(reply && std::holds_alternative<wire::Receipt>(reply->body));
  EXPECT_EQ(std::get<wire::Receipt>(reply->body).entries[0].device, 99u);
}

TEST(PlainService, IsRefusedWhereOutsidersReachIt) {
  for (const char* const endpoint : {"tcp://0.0.0.0:*", "tcp://*:*", "tcp://[::]:*",
                                     "tcp://127.0.0.1.example.org:*", "tcp://10.1.2.3:7400"}) {
    ServiceOptions options = plain();
    options.endpoints = {"tcp://127.0.0.1:*", endpoint};
    TestNode node(options);
    EXPECT_EQ(node.started.reason(), "plain_not_loopback") << endpoint;
  }
  ServiceOptions options = plain();
  options.endpoints = {"tcp://0.0.0.0:*"};
  options.allow_plain_anywhere = true;
  EXPECT_TRUE(TestNode(options).started.ok());
  options.endpoints = {"inproc://x"};
  EXPECT_EQ(TestNode(options).started.reason(), "endpoint_unsupported");
}

TEST(PlainService, SaysWhenAnEndpointIsTaken) {
  TestNode first(plain());
  ServiceOptions options = plain();
  options.endpoints = {first.endpoint()};
  EXPECT_EQ(TestNode(options).started.reason(), "bind_failed");
}

}  // namespace
}  // namespace muster::ingest
