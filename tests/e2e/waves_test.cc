// Devices come in waves, and every wave finds a server as small as the first did.
#include "tests/e2e/served.h"

namespace muster::e2e {
namespace {

constexpr int kWave = 600;

TEST(Waves, MemoryFallsWhenConnectionsGoAndDoesNotGrowOverWaves) {
  Served server(task("t", "target_cohort = 4\n"));
  ASSERT_TRUE(server.is_up());
  const auto resident = [&] { return server.status()["memory"].value("resident", 0.0); };
  const auto connected = [&](double count) {
    return eventually([&] { return server.status().value("connections", -1.0) == count; });
  };
  // The first submit loads what is needed once: pages of code, caches, the memory of the round.
  ASSERT_TRUE(server.submit(1, "t", 0.01F).ok());
  ASSERT_TRUE(connected(0));
  const double alone = resident();
  ASSERT_GT(alone, 0);
  double first = 0;
  for (int wave = 0; wave < 3; ++wave) {
    client::Transport transport;
    std::vector<std::unique_ptr<client::Client>> clients;
    client::ClientOptions options = server.connection();
    options.transport = &transport;
    for (int i = 0; i < kWave; ++i) {
      auto one = client::Client::connect(options);
      ASSERT_TRUE(one.ok()) << one.status().to_string();
      clients.push_back(std::move(*one));
    }
    // A connection takes most of its memory once it is let in.
    ASSERT_TRUE(eventually([&] {
      const auto samples = scrape(server.http());
      double let_in = 0;
      for (const Sample& sample : samples)
        if (sample.family == "muster_handshakes_total" && sample.labels.at("result") == "accepted")
          let_in = sample.value;
      return let_in >= 1 + kWave * (wave + 1) && total(samples, "muster_connections") == kWave;
    }));
    const double grown = resident() - alone;
    EXPECT_GT(grown, kWave * 10e3) << "the check must have something to see";
    if (wave == 0) first = grown;
    EXPECT_LT(grown, 1.3 * first) << "wave " << wave;
    clients.clear();
    ASSERT_TRUE(connected(0));
    double left = 0;
    EXPECT_TRUE(eventually([&] {
      left = resident() - alone;
      return left < grown / 3;
    })) << "wave "
        << wave << ": " << left << " of " << grown << " bytes are left";
  }
}

}  // namespace
}  // namespace muster::e2e
