#include "tests/cuda_server/socket_fleet.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/hex.h"

namespace muster::e2e {
namespace {

constexpr std::size_t kDimension = 500;
/// An emulated GPU on a busy machine is slow.
constexpr Nanoseconds kPatience = 240 * kSecond;

std::vector<float> delta_of(std::uint32_t device, RoundNumber round) {
  std::vector<float> delta(kDimension);
  for (std::size_t k = 0; k < delta.size(); ++k)
    delta[k] = 0.01f * std::sin(static_cast<float>(k * (device + 1) + round));
  return delta;
}

void run_device(client::ClientOptions options, std::uint32_t index, std::uint64_t rounds,
                std::atomic<std::uint64_t>& receipts, const std::atomic<bool>& give_up) {
  options.seed = index + 1;
  options.attempts = 3;
  options.reply_timeout = 2 * kSecond;
  auto connection = client::Client::connect(options);
  ASSERT_TRUE(connection.ok()) << connection.status().to_string();
  for (RoundNumber last = 0; last < rounds && !give_up;) {
    const auto assignment = (*connection)->join("t", kSecond);
    if (!assignment.ok() || assignment->round <= last) {
      ::usleep(5000);
      continue;
    }
    const auto update = client::encode(*assignment, delta_of(index, assignment->round),
                                       1000 * assignment->round + index);
    ASSERT_TRUE(update.ok()) << update.status().to_string();
    const std::uint64_t nonce = 1 + index + 100 * assignment->round;
    if (!(*connection)->submit(*assignment, *update, 1, nonce).ok()) continue;
    last = assignment->round;
    ++receipts;
  }
}

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

SocketFleet::SocketFleet(std::string task, std::uint64_t rounds)
    : task_(std::move(task)), rounds_(rounds) {
  std::vector<ingest::PublicKey> keys;
  for (std::uint32_t i = 0; i < kDevices; ++i) {
    identities_.push_back(client::new_identity());
    keys.push_back(ingest::parse_key(identities_.back().public_key).value());
  }
  server_key_ = enroll(data(), keys).server_key;
}

SocketFleet::SocketFleet(const SocketFleet& other)
    : task_(other.task_),
      rounds_(other.rounds_),
      identities_(other.identities_),
      server_key_(other.server_key_) {
  std::filesystem::copy(other.data(), data(), std::filesystem::copy_options::recursive);
}

void SocketFleet::configure(const std::string& file, const std::string& kind, int port) const {
  std::ofstream(file) << "data_dir = \"" << data() << "\"\n"
                      << "[ingest]\nlisten = [\"tcp://127.0.0.1:" << port
                      << "\"]\nslab = \"4MiB\"\n"
                      << "[spool]\nsegment = \"4MiB\"\nlow_water = \"1MiB\"\n"
                      << "[backend]\nkind = \"" << kind
                      << "\"\nmemory = \"16MiB\"\ngpu_deadline = \"600s\"\n"
                      << "[monitoring]\nlisten = \"127.0.0.1:0\"\n"
                      << "[[task]]\nname = \"t\"\ndimension = " << kDimension
                      << "\nchunk_coordinates = 192\nblock = 64\ntarget_cohort = " << kDevices
                      << "\nminimum_cohort = " << kDevices
                      << "\nover_selection = 1.0\nrounds = " << rounds_ << "\n"
                      << task_ << "\n";
}

FleetOutcome SocketFleet::serve(const std::string& kind, std::uint32_t first, std::uint32_t last) {
  const std::string config = folder_.path() + "/muster.toml", log = folder_.path() + "/log";
  const int port = free_port();
  configure(config, kind, port);
  client::ClientOptions options;
  options.endpoint = "tcp://127.0.0.1:" + std::to_string(port);
  options.server_key = server_key_;

  ServerProcess server(config, log);
  std::atomic<std::uint64_t> receipts{0};
  std::atomic<bool> give_up{false};
  std::vector<std::thread> devices;
  for (std::uint32_t i = first; i < last; ++i) {
    options.identity = identities_[i];
    devices.emplace_back(run_device, options, i, rounds_, std::ref(receipts), std::cref(give_up));
  }
  char name[32];
  std::snprintf(name, sizeof name, "v%08u.safetensors", static_cast<unsigned>(rounds_));
  const std::string file = data() + "/models/t/" + name;
  const auto released = [&] { return last < kDevices || ::access(file.c_str(), R_OK) == 0; };
  const SystemClock clock;
  const Nanoseconds until = clock.now() + kPatience;
  while (receipts < (last - first) * rounds_ || !released()) {
    if (server.poll() || clock.now() > until) break;
    ::usleep(5000);
  }
  give_up = true;
  for (auto& device : devices) device.join();
  server.signal(SIGTERM);
  FleetOutcome outcome;
  outcome.status = server.wait();
  PosixStorage storage;
  const auto bytes = read_file(storage, file, 1 << 20);
  if (bytes.ok()) outcome.model_sha256 = hex(ingest::sha256(*bytes));
  outcome.log = text_of(log);
  return outcome;
}

}  // namespace muster::e2e
