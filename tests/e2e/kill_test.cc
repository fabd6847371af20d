// kill -9 of the real server at points spread over ingest, seal, aggregate and release (R1):
// nothing acknowledged is lost, nothing counts twice, and the released bytes are those of an
// undisturbed run.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "client/client.h"
#include "tests/e2e/server_process.h"

namespace muster::e2e {
namespace {

constexpr std::uint32_t kDevices = 6;
constexpr std::uint64_t kRounds = 2;
constexpr std::uint64_t kDimension = 20'000;
constexpr Nanoseconds kPatience = 60 * kSecond;

struct Outcome {
  std::string model_sha256;
  std::uint32_t receipts = 0;
  unsigned long calls = 0;
  bool killed = false;
};

std::vector<float> delta_of(std::uint32_t device, RoundNumber round) {
  std::vector<float> delta(kDimension);
  for (std::size_t k = 0; k < delta.size(); ++k)
    delta[k] = 0.01f * std::sin(static_cast<float>(k * (device + 1) + round));
  return delta;
}

/// One device: in each round it submits its own fixed update, with one nonce, until it holds the
/// receipt; a dead server is only a reason to wait.
void run_device(std::uint32_t index, const client::ClientOptions& base,
                const client::Identity& identity, std::atomic<std::uint32_t>& receipts,
                const std::atomic<bool>& give_up) {
  client::ClientOptions options = base;
  options.identity = identity;
  options.reply_timeout = 300 * kMillisecond;
  options.attempts = 3;
  options.back_off = 10 * kMillisecond;
  options.back_off_limit = 50 * kMillisecond;
  options.seed = index + 1;
  RoundNumber last = 0;
  std::unique_ptr<client::Client> connection;
  while (last < kRounds && !give_up) {
    if (!connection) {
      auto fresh = client::Client::connect(options);
      ASSERT_TRUE(fresh.ok()) << fresh.status().to_string();
      connection = std::move(*fresh);
    }
    auto assignment = connection->join("t", kSecond);
    if (!assignment.ok() || assignment->round <= last) {
      if (!assignment.ok() && assignment.status().reason() == "timeout") connection.reset();
      std::this_thread::yield();
      continue;
    }
    const auto update = client::encode(*assignment, delta_of(index, assignment->round),
                                       1000 * assignment->round + index);
    ASSERT_TRUE(update.ok()) << update.status().to_string();
    const std::uint64_t nonce = 1 + index + 100 * assignment->round;
    const auto receipt = connection->submit(*assignment, *update, 1, nonce);
    if (receipt.ok()) {
      last = assignment->round;
      ++receipts;
    }
  }
}

class KillTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (std::uint32_t i = 0; i < kDevices; ++i) identities_.push_back(client::new_identity());
  }

  /// Two rounds from an empty folder, the server killed at call `kill_at` (0: not at all) and then
  /// started again, once, without.
  static Outcome run(const std::string& rule, unsigned long kill_at, bool after) {
    TemporaryFolder folder;
    const std::string data = folder.path() + "/data";
    const std::string config = folder.path() + "/muster.toml";
    const std::string log = folder.path() + "/log";
    std::vector<ingest::PublicKey> keys;
    for (const auto& identity : identities_)
      keys.push_back(ingest::parse_key(identity.public_key).value());
    const Enrolment enrolment = enroll(data, keys);
    const int port = free_port();
    std::ofstream(config) << "data_dir = \"" << data << "\"\n"
                          << "[ingest]\nlisten = [\"tcp://127.0.0.1:" << port
                          << "\"]\nslab = \"16MiB\"\n"
                          << "[spool]\nsegment = \"4MiB\"\nlow_water = \"1MiB\"\n"
                          << "[monitoring]\nlisten = \"127.0.0.1:0\"\n"
                          << "[[task]]\nname = \"t\"\ndimension = " << kDimension
                          << "\ncodec = \"i8b\"\n"
                          << "chunk_coordinates = 8192\n"
                          << rule << "\ntarget_cohort = " << kDevices
                          << "\nminimum_cohort = " << kDevices
                          << "\nover_selection = 1.0\nrounds = " << kRounds << "\n";
    client::ClientOptions options;
    options.endpoint = "tcp://127.0.0.1:" + std::to_string(port);
    options.server_key = enrolment.server_key;

    std::map<std::string, std::string> environment = {
        {"LD_PRELOAD", std::string(MUSTER_BIN_DIR) + "/libkill_preload.so"}};
    const std::string count_file = folder.path() + "/calls";
    if (kill_at == 0)
      environment["MUSTER_KILL_COUNT"] = count_file;
    else
      environment["MUSTER_KILL_AT"] = std::to_string(kill_at);
    environment["MUSTER_KILL_WHEN"] = after ? "after" : "before";

    Outcome outcome;
    auto server = std::make_unique<ServerProcess>(config, log, environment);
    std::atomic<std::uint32_t> receipts{0};
    std::atomic<bool> give_up{false};
    std::vector<std::thread> devices;
    for (std::uint32_t i = 0; i < kDevices; ++i)
      devices.emplace_back(run_device, i, options, identities_[i], std::ref(receipts),
                           std::cref(give_up));
    const SystemClock clock;
    const Nanoseconds until = clock.now() + kPatience;
    const std::string file = data + "/models/t/v00000002.safetensors";
    // Released when the second version is on disk under its final name and everybody has receipts.
    while (receipts < kDevices * kRounds || ::access(file.c_str(), R_OK) != 0) {
      const bool ended =
          server->poll().has_value();  // asked once: it may end between two questions
      if (ended && outcome.killed) {
        ADD_FAILURE() << "the restarted server ended";
        break;
      }
      if (ended) {
        outcome.killed = true;
        server = std::make_unique<ServerProcess>(config, log);
      }
      if (clock.now() > until) {
        ADD_FAILURE() << "no release in time: " << receipts << " receipts";
        break;
      }
      ::usleep(2000);
    }
    give_up = true;
    for (auto& device : devices) device.join();
    server->signal(SIGTERM);
    const int status = server->wait();
    // A kill point past the release may hit the drain; then the next start must still be fine.
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
      outcome.killed = true;
      server = std::make_unique<ServerProcess>(config, log);
      ::usleep(300'000);
      server->signal(SIGTERM);
      EXPECT_EQ(server->wait(), 0);
    } else {
      EXPECT_EQ(status, 0);
    }
    PosixStorage storage;
    const auto bytes = read_file(storage, file, 1 << 20);
    if (bytes.ok()) outcome.model_sha256 = ingest::hex(ingest::sha256(*bytes));
    outcome.receipts = receipts;
    if (kill_at == 0) std::ifstream(count_file) >> outcome.calls;
    if (testing::Test::HasFailure()) {
      std::ifstream text(log);
      std::string line;
      while (std::getline(text, line)) GTEST_LOG_(INFO) << line;
    }
    return outcome;
  }

  static inline std::vector<client::Identity> identities_;
};

TEST_F(KillTest, LosesNothingAndCountsNothingTwice) {
  const char* wish = std::getenv("MUSTER_KILL_POINTS");
  const int points = wish != nullptr ? std::atoi(wish) : 60;
  const std::vector<std::string> rules = {"rule = \"mean\"", "rule = \"trimmed_mean\"\nf = 1"};
  int killed = 0;
  for (const auto& rule : rules) {
    const Outcome calm = run(rule, 0, false);
    ASSERT_EQ(calm.receipts, kDevices * kRounds);
    ASSERT_FALSE(calm.model_sha256.empty());
    ASSERT_GT(calm.calls, 50u);
    const int share = points / static_cast<int>(rules.size());
    for (int i = 0; i < share; ++i) {
      unsigned long at =
          1 + calm.calls * static_cast<unsigned long>(i) / static_cast<unsigned long>(share);
      // A run that groups its commits better makes fewer calls and may end before its point: then
      // an earlier one is taken, so that every point really kills.
      for (bool hit = false; !hit; at = at * 3 / 4 + 1) {
        SCOPED_TRACE(rule + ", killed at call " + std::to_string(at) +
                     (i % 2 ? " after" : " before"));
        const Outcome outcome = run(rule, at, i % 2 == 1);
        hit = outcome.killed;
        EXPECT_EQ(outcome.receipts, kDevices * kRounds);
        EXPECT_EQ(outcome.model_sha256, calm.model_sha256);
        if (HasFailure()) return;
      }
      ++killed;
    }
  }
  GTEST_LOG_(INFO) << "killed at " << killed << " points; 0 lost, 0 counted twice";
  EXPECT_GE(killed, points / 2 * 2);
}

}  // namespace
}  // namespace muster::e2e
