#include "tests/e2e/kill_run.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "base/hex.h"

namespace muster::e2e {
namespace {

constexpr std::uint64_t kDimension = 20'000;
constexpr Nanoseconds kPatience = 60 * kSecond;
/// Runs mostly wait for one another's timeouts.
constexpr int kAtOnce = 4;

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
    // That would be for good: a server that starts lets nobody knock before it knows the keys.
    ASSERT_NE(assignment.status().reason(), "connection") << assignment.status().to_string();
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

std::map<std::string, std::string> preload(const KillCase& with, unsigned long kill_at, bool after,
                                           const std::string& count_file) {
  std::map<std::string, std::string> environment = {
      {"LD_PRELOAD", std::string(MUSTER_BIN_DIR) + "/libkill_preload.so"}};
  if (kill_at == 0)
    environment["MUSTER_KILL_COUNT"] = count_file;
  else
    environment["MUSTER_KILL_AT"] = std::to_string(kill_at);
  environment["MUSTER_KILL_WHEN"] = after ? "after" : "before";
  if (!with.files.empty()) environment["MUSTER_KILL_FILES"] = with.files;
  return environment;
}

void show_log(const std::string& log) {
  std::ifstream text(log);
  std::string line;
  while (std::getline(text, line)) GTEST_LOG_(INFO) << line;
}

/// Kills once, at the point given or, where a run ends before it, at an earlier one: a run that
/// groups its commits better makes fewer calls.
void kill_once(const KillCase& with, const KillOutcome& calm, unsigned long at, bool after) {
  for (bool hit = false; !hit && !testing::Test::HasFailure(); at = at * 3 / 4 + 1) {
    SCOPED_TRACE(with.task + ", killed at call " + std::to_string(at) + " of " +
                 (with.files.empty() ? "all" : with.files) + (after ? ", after" : ", before"));
    const KillOutcome outcome = run_killed(with, at, after);
    hit = outcome.killed;
    EXPECT_EQ(outcome.receipts, kDevices * kRounds);
    EXPECT_EQ(outcome.model_sha256, calm.model_sha256);
  }
}

}  // namespace

const std::vector<client::Identity>& kill_identities() {
  static const std::vector<client::Identity> all = [] {
    std::vector<client::Identity> drawn;
    for (std::uint32_t i = 0; i < kDevices; ++i) drawn.push_back(client::new_identity());
    return drawn;
  }();
  return all;
}

std::string kill_model(const std::string& data, std::uint64_t version) {
  return data + "/models/t/v0000000" + std::to_string(version) + ".safetensors";
}

Enrolment write_kill_config(const std::string& file, const std::string& data, int port,
                            const std::string& task) {
  std::ofstream(file) << "data_dir = \"" << data << "\"\ncrash_limit = 0\n"
                      << "[ingest]\nlisten = [\"tcp://127.0.0.1:" << port
                      << "\"]\nslab = \"16MiB\"\n"
                      << "[spool]\nsegment = \"4MiB\"\nlow_water = \"1MiB\"\n"
                      << "[monitoring]\nlisten = \"127.0.0.1:0\"\n"
                      << "[[task]]\nname = \"t\"\ndimension = " << kDimension
                      << "\ncodec = \"i8b\"\nchunk_coordinates = 8192\ntarget_cohort = " << kDevices
                      << "\nminimum_cohort = " << kDevices
                      << "\nover_selection = 1.0\nrounds = " << kRounds << "\n"
                      << task << "\n";
  std::vector<ingest::PublicKey> keys;
  for (const auto& identity : kill_identities())
    keys.push_back(ingest::parse_key(identity.public_key).value());
  return enroll(data, keys);
}

KillOutcome run_killed(const KillCase& with, unsigned long kill_at, bool after) {
  TemporaryFolder folder;
  const std::string data = folder.path() + "/data";
  const std::string config = folder.path() + "/muster.toml";
  const std::string log = folder.path() + "/log";
  const std::string count_file = folder.path() + "/calls";
  if (!with.begun.empty())
    std::filesystem::copy(with.begun, data, std::filesystem::copy_options::recursive);
  const int port = free_port();
  client::ClientOptions options;
  options.server_key = write_kill_config(config, data, port, with.task).server_key;
  options.endpoint = "tcp://127.0.0.1:" + std::to_string(port);

  KillOutcome outcome;
  auto server =
      std::make_unique<ServerProcess>(config, log, preload(with, kill_at, after, count_file));
  std::atomic<std::uint32_t> receipts{0};
  std::atomic<bool> give_up{false};
  std::vector<std::thread> devices;
  for (std::uint32_t i = 0; i < kDevices; ++i)
    devices.emplace_back(run_device, i, options, kill_identities()[i], std::ref(receipts),
                         std::cref(give_up));
  const SystemClock clock;
  const Nanoseconds until = clock.now() + kPatience;
  const std::string last = kill_model(data, kRounds);
  bool sound = true;
  // Released when the last version is on disk under its final name and everybody has receipts.
  while (receipts < kDevices * kRounds || ::access(last.c_str(), R_OK) != 0) {
    const bool ended = server->poll().has_value();  // asked once: it may end between two questions
    sound = !(ended && outcome.killed) && clock.now() < until;
    EXPECT_TRUE(sound) << (ended ? "the restarted server ended" : "no release in time") << ", "
                       << receipts << " receipts";
    if (!sound) break;
    if (ended) {
      outcome.killed = true;
      with.when_killed(data);
      server = std::make_unique<ServerProcess>(config, log);
    }
    ::usleep(2000);
  }
  give_up = true;
  for (auto& device : devices) device.join();
  server->signal(SIGTERM);
  int status = server->wait();
  // A kill point past the release may hit the drain; then the next start must still be fine.
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !outcome.killed) {
    outcome.killed = true;
    with.when_killed(data);
    server = std::make_unique<ServerProcess>(config, log);
    ::usleep(300'000);
    server->signal(SIGTERM);
    status = server->wait();
  }
  EXPECT_EQ(status, 0);
  if (sound) with.when_over(data);
  PosixStorage storage;
  const auto bytes = read_file(storage, kill_model(data, with.compared), 1 << 20);
  if (bytes.ok()) outcome.model_sha256 = hex(ingest::sha256(*bytes));
  outcome.receipts = receipts;
  if (kill_at == 0) std::ifstream(count_file) >> outcome.calls;
  if (testing::Test::HasFailure()) show_log(log);
  return outcome;
}

int sweep_kills(const KillCase& with, int points) {
  const KillOutcome calm = run_killed(with, 0, false);
  EXPECT_EQ(calm.receipts, kDevices * kRounds);
  EXPECT_FALSE(calm.model_sha256.empty());
  EXPECT_GT(calm.calls, 50u);
  if (testing::Test::HasFailure()) return 0;
  std::atomic<int> next{0}, killed{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < kAtOnce; ++i)
    workers.emplace_back([&] {
      for (int point = next++; point < points && !testing::Test::HasFailure(); point = next++) {
        const auto share = static_cast<unsigned long>(point);
        kill_once(with, calm, 1 + calm.calls * share / static_cast<unsigned long>(points),
                  point % 2 == 1);
        ++killed;
      }
    });
  for (auto& worker : workers) worker.join();
  GTEST_LOG_(INFO) << "killed at " << killed << " points of " << calm.calls << " calls";
  return killed;
}

int kill_points(int usual) {
  const char* wish = std::getenv("MUSTER_KILL_POINTS");
  return wish != nullptr ? std::atoi(wish) : usual;
}

}  // namespace muster::e2e
