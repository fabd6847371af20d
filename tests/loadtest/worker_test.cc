// The simulator against a sink that keeps nothing: every turn ends one way, in direct and in
// gateway mode, under CURVE, with drop-outs, duplicates, stragglers, slow links and storms.
#include "loadtest/worker.h"

#include <gtest/gtest.h>

#include "client/plan.h"
#include "loadtest/null_sink.h"

namespace muster::loadtest {
namespace {

wire::Assignment assignment() {
  wire::Assignment work;
  work.task = 1;
  work.round = 1;
  work.dimension = 300;
  work.chunk_coordinates = 128;
  work.format = {Codec::kI8S, 6};
  work.scale_exponents.assign(5, -10);
  work.value_bound = 16;
  return work;
}

LoadPlan plan_of(FleetPlan fleet) {
  LoadPlan plan;
  plan.task = "test";
  plan.distinct = 8;
  plan.one_round = true;
  plan.patience = 5 * kSecond;
  fleet.rate = Rate{};
  fleet.rate->from = 400;
  fleet.poisson = false;
  fleet.turns = 100;
  plan.fleets = {fleet};
  plan.phases = {{"load", 0, kSecond / 2, {0}, {}}};
  return plan;
}

Outcome run(const LoadPlan& plan, bool curve) {
  auto sink = NullSink::start(assignment(), curve).value();
  std::vector<client::Identity> identities;
  for (std::uint32_t i = 0; curve && i < plan.fleets[0].links(); ++i)
    identities.push_back(client::new_identity());
  WorkBook book(plan);
  const std::atomic<bool> stop{false};
  WorkerOptions options;
  options.links.endpoint = sink->endpoint();
  if (curve) options.links.server_key = sink->server_key();
  options.start = SystemClock().now() + 50 * kMillisecond;
  Worker worker(plan, options, identities, book, stop);
  worker.start();
  auto outcome = worker.finish();
  EXPECT_TRUE(outcome.ok()) << outcome.status().to_string();
  return std::move(outcome).value();
}

void expect_sound(const Outcome& outcome) {
  EXPECT_EQ(outcome.counts.due, 100U);
  EXPECT_EQ(outcome.counts.ended(), outcome.counts.due);
  EXPECT_EQ(outcome.phases[0].acknowledge.count(), outcome.counts.acknowledged);
  std::size_t receipts = 0;
  for (const auto& [round, list] : outcome.receipts) receipts += list.size();
  EXPECT_EQ(receipts, outcome.counts.acknowledged);
}

TEST(Worker, AGatewaySpeaksForManyDevices) {
  FleetPlan fleet = profile_plan(Profile::kGateways);
  fleet.devices = 1000;
  fleet.connections = 3;
  const Outcome outcome = run(plan_of(fleet), false);
  expect_sound(outcome);
  EXPECT_EQ(outcome.counts.acknowledged, 100U);
  EXPECT_EQ(outcome.counts.connects, 3U);
}

TEST(Worker, PhonesHaveAnEncryptedConnectionEach) {
  FleetPlan fleet = profile_plan(Profile::kPhones);
  fleet.devices = 50;
  fleet.drop_out = 0;
  fleet.straggle = 20 * kMillisecond;
  fleet.slow_links = 0.2;
  fleet.link_bytes = 20'000;
  const Outcome outcome = run(plan_of(fleet), true);
  expect_sound(outcome);
  EXPECT_EQ(outcome.counts.acknowledged + outcome.counts.skipped, 100U);
  EXPECT_EQ(outcome.counts.connects, outcome.counts.acknowledged);
  EXPECT_EQ(outcome.phases[0].connect.count(), outcome.counts.connects);
}

TEST(Worker, WhoDropsOutNeverSendsAll) {
  FleetPlan fleet = profile_plan(Profile::kHospitals);
  fleet.devices = 120;
  fleet.drop_out = 1;
  const Outcome outcome = run(plan_of(fleet), false);
  expect_sound(outcome);
  EXPECT_EQ(outcome.counts.dropped_out, 100U);
  EXPECT_EQ(outcome.counts.acknowledged, 0U);
  // 128 + 128 + 44 coordinates are three chunks; at most two of them left.
  EXPECT_LE(outcome.counts.bytes, 100U * 256U);
}

TEST(Worker, ConnectionsThatBreakComeBack) {
  FleetPlan fleet = profile_plan(Profile::kCars);
  fleet.devices = 40;
  fleet.drop_out = 0;
  fleet.storm_every = 100 * kMillisecond;
  fleet.storm_share = 0.5;
  LoadPlan plan = plan_of(fleet);
  plan.reply_timeout = 200 * kMillisecond;
  plan.phases = {{"load", 0, 2 * kSecond, {0}, {}}};  // time for storms once all are connected
  plan.attempts = 1000;  // a slow machine breaks a connection more often before it has its answer
  const Outcome outcome = run(plan, true);
  expect_sound(outcome);
  EXPECT_GT(outcome.counts.connects, 40U);
  EXPECT_EQ(outcome.counts.unanswered, 0U);
}

TEST(Worker, LoadStaysOnThisMachine) {
  LinkOptions options;
  options.endpoint = "tcp://192.0.2.1:7400";
  EXPECT_EQ(Links::open(options, 1).status().reason(), "endpoint");
}

}  // namespace
}  // namespace muster::loadtest
