// An Intake with a round, and what a test asks of it.
#pragma once

#include <gtest/gtest.h>

#include "tests/ingest/fixture.h"

namespace muster::ingest {

class IntakeTest : public ::testing::Test {
 protected:
  explicit IntakeTest(RoundSpec round = small_round(), std::size_t slots = 16)
      : spec(std::move(round)),
        slab(slots, record_bytes(payload_bytes(spec.format, spec.coordinates_of(0)))),
        intake(slab.pool, secret, stats),
        counters(stats) {}

  void open() { intake.open_round(spec); }

  Verdict send(const Peer& peer, const Frames& message) {
    return intake.on_message(peer, message.views(), now, pressure);
  }
  /// Sends, and keeps what was admitted for commit().
  Verdict submit(const Peer& peer, const Frames& message) {
    Verdict verdict = send(peer, message);
    if (verdict.slot != kNoSlot) admitted.push_back(verdict.slot);
    return verdict;
  }
  /// What the spool and the engine do: everything admitted becomes durable, the slots come back.
  std::vector<Reply> commit() {
    std::vector<Reply> replies;
    intake.on_durable(admitted, now, replies, drained);
    for (const SlotIndex slot : admitted) slab.pool.give_back(slot);
    admitted.clear();
    return replies;
  }
  /// A whole honest update; the receipts it got.
  std::vector<Reply> whole_update(const Peer& peer, std::uint64_t nonce) {
    for (std::uint32_t chunk = 0; chunk < spec.chunk_count; ++chunk)
      EXPECT_NE(submit(peer, honest_chunk(spec, chunk, nonce)).slot, kNoSlot);
    return commit();
  }
  std::uint64_t rejected(wire::Reason reason) { return counters.rejected_for(reason).value(); }
  std::uint64_t rejected_in_all() const {
    std::uint64_t sum = 0;
    for (const Counter* counter : counters.rejected)
      if (counter != nullptr) sum += counter->value();  // "ok" is no refusal and has none
    return sum;
  }

  template <class Body>
  static const Body& body_of(const Verdict& verdict) {
    static const Body none{};
    EXPECT_TRUE(verdict.reply.has_value());
    if (!verdict.reply) return none;
    const auto* const body = std::get_if<Body>(&verdict.reply->message.body);
    EXPECT_NE(body, nullptr) << "kind " << verdict.reply->message.body.index();
    return body == nullptr ? none : *body;
  }
  static wire::Reason refusal_of(const Verdict& verdict) {
    EXPECT_EQ(verdict.slot, kNoSlot);
    return body_of<wire::Refusal>(verdict).reason;
  }

  RoundSpec spec;
  Slab slab;
  const NodeSecret secret = random_secret();
  Stats stats;
  Intake intake;
  IntakeStats counters;
  Nanoseconds now = kSecond;
  Pressure pressure;
  std::vector<SlotIndex> admitted;
  std::vector<std::pair<TaskId, RoundNumber>> drained;
};

}  // namespace muster::ingest
