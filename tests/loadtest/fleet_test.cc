#include "loadtest/fleet.h"

#include <gtest/gtest.h>

#include <numeric>

#include "client/random.h"
#include "tests/client/fake_server.h"

namespace muster::loadtest {
namespace {

TEST(Fleet, SpreadsHostilePhonesEvenly) {
  for (const std::size_t n : {10U, 200U, 201U})
    for (std::size_t f = 0; f <= n; f += 7) {
      std::size_t count = 0;
      for (std::size_t i = 0; i < n; ++i) count += is_hostile(i, n, f) ? 1 : 0;
      EXPECT_EQ(count, f);
    }
  std::size_t first_half = 0;
  for (std::size_t i = 0; i < 100; ++i) first_half += is_hostile(i, 200, 40) ? 1 : 0;
  EXPECT_EQ(first_half, 20U);
}

/// Two phones, one of them hostile, against a server that takes any update.
class FleetRound : public testing::TestWithParam<Attack> {};

TEST_P(FleetRound, CountsReceiptsAndRefusals) {
  Corpus corpus;
  corpus.shards.resize(2);
  client::Random random(1);
  for (Symbols& shard : corpus.shards)
    for (int i = 0; i < 600; ++i) shard.push_back(static_cast<Symbol>(random.below(64)));
  FleetOptions options;
  options.shape = {64, 2, 2, 8};
  options.training = {4, 8, 0.1F, 1};
  options.threads = 2;

  client::FakeServer::Script script;
  script.assignment.task = 1;
  script.assignment.round = 1;
  script.assignment.dimension = options.shape.dimension();
  script.assignment.chunk_coordinates = 4096;
  script.assignment.format = {Codec::kI8B, 8};
  script.assignment.value_bound = 16;
  script.model = initial_model(options.shape, 1);
  client::FakeServer server(script);

  Fleet fleet(options, corpus);
  EXPECT_EQ(fleet.public_keys().size(), 2U);
  ASSERT_TRUE(fleet.connect(server.endpoint(), "").ok());
  std::size_t last = 0;
  const RoundReport report = fleet.run_round({"task", 0.5, GetParam()}, [&](std::size_t done) {
    EXPECT_GE(done, last);
    last = done;
  });
  EXPECT_EQ(last, 2U);
  EXPECT_EQ(report.submitted, 2U);
  EXPECT_EQ(report.refused(), 0U);
  EXPECT_EQ(server.seen().nonces.size(), 2U);
}
INSTANTIATE_TEST_SUITE_P(Attacks, FleetRound,
                         testing::Values(Attack::kSignFlip, Attack::kLittleIsEnough,
                                         Attack::kLabelFlip, Attack::kMixed),
                         [](const auto& instance) {
                           return std::string(attack_name(instance.param));
                         });

TEST(Fleet, LeavesTheRestOutWhenStopped) {
  Corpus corpus;
  corpus.shards.assign(3, Symbols(600, 1));
  const std::atomic<bool> stop{true};
  FleetOptions options;
  options.shape = {64, 2, 2, 8};
  options.stop = &stop;
  client::FakeServer server({});
  Fleet fleet(options, corpus);
  ASSERT_TRUE(fleet.connect(server.endpoint(), "").ok());
  const auto report = fleet.run_round({"task"}, [](std::size_t) {});
  EXPECT_EQ(report.refusals.at("interrupted"), 3U);
}

}  // namespace
}  // namespace muster::loadtest
