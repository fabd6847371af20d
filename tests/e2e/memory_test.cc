// Law 4: the budget that is printed at start holds while a mean task swallows far more than it.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "client/client.h"
#include "tests/e2e/server_process.h"

namespace muster::e2e {
namespace {

constexpr std::uint32_t kConnections = 8;
constexpr std::uint64_t kDimension = 1 << 20;  // 1 MiB at int8

std::size_t number_in(const std::string& file, const std::string& key) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line))
    if (line.rfind(key, 0) == 0) return std::strtoull(line.c_str() + key.size(), nullptr, 10);
  return 0;
}

/// The budget from the server's start-up line.
std::size_t budget_in(const std::string& log_file) {
  std::ifstream stream(log_file);
  std::string line;
  while (std::getline(stream, line)) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object() && json.value("event", "") == "memory_budget") return json["bytes"];
  }
  return 0;
}

TEST(Memory, StaysInThePrintedBudget) {
  const char* wish = std::getenv("MUSTER_MEMORY_UPDATES");
  const std::uint32_t updates =
      wish != nullptr ? static_cast<std::uint32_t>(std::atoi(wish)) : 1000;
  TemporaryFolder folder;
  const std::string data = folder.path() + "/data", config = folder.path() + "/muster.toml",
                    log = folder.path() + "/log";
  const client::Identity gateway = client::new_identity();
  const Enrolment enrolment =
      enroll(data, {ingest::parse_key(gateway.public_key).value()}, ingest::KeyRole::kGateway);
  const int port = free_port();
  std::ofstream(config) << "data_dir = \"" << data << "\"\n"
                        << "[ingest]\nmax_connections = 64\nlisten = \"tcp://127.0.0.1:" << port
                        << "\"\n"
                        << "[monitoring]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n"
                        << "[[task]]\nname = \"t\"\ndimension = " << kDimension
                        << "\ncodec = \"i8s\"\nchunk_coordinates = 262144\nrule = \"mean\"\n"
                        << "target_cohort = " << updates << "\nminimum_cohort = 1\n"
                        << "over_selection = 1.0\nrounds = 1\n";
  ServerProcess server(config, log);
  client::ClientOptions options;
  options.endpoint = "tcp://127.0.0.1:" + std::to_string(port);
  options.server_key = enrolment.server_key;
  options.identity = gateway;

  std::vector<float> delta(kDimension);
  std::mt19937 random(20'261'123);
  for (float& value : delta) value = static_cast<float>(random() % 200) / 1024 - 0.1f;
  std::atomic<std::uint32_t> next{1}, receipts{0};
  const auto work = [&] {
    client::EncodedUpdate update;
    for (std::uint32_t device = next++; device <= updates; device = next++) {
      client::ClientOptions mine = options;
      mine.device = device;
      auto connection = client::Client::connect(mine);
      ASSERT_TRUE(connection.ok()) << connection.status().to_string();
      const auto assignment = (*connection)->join("t", 30 * kSecond);
      ASSERT_TRUE(assignment.ok()) << assignment.status().to_string();
      if (update.chunks.empty()) update = client::encode(*assignment, delta, 1).value();
      const auto receipt = (*connection)->submit(*assignment, update, 1);
      ASSERT_TRUE(receipt.ok()) << receipt.status().to_string();
      ++receipts;
    }
  };
  std::vector<std::thread> connections;
  for (std::uint32_t i = 0; i < kConnections; ++i) connections.emplace_back(work);
  const std::string proc = "/proc/" + std::to_string(server.pid()) + "/status";
  std::size_t resident = 0;
  while (receipts < updates && !server.poll() && !HasFailure()) {
    resident = std::max(resident, 1024 * number_in(proc, "VmRSS:"));
    ::usleep(20'000);
  }
  for (auto& connection : connections) connection.join();
  const std::size_t budget = budget_in(log);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_EQ(receipts, updates);
  ASSERT_GT(budget, 0u);
  EXPECT_GT(resident, 0u);
  EXPECT_LE(static_cast<double>(resident), 1.1 * static_cast<double>(budget));
  GTEST_LOG_(INFO) << updates << " updates of 1 MiB: resident at most " << (resident >> 20)
                   << " MiB, budget " << (budget >> 20) << " MiB";
}

}  // namespace
}  // namespace muster::e2e
