// A real musterd behind which a test looks as its operator does: status, metrics, log.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "tests/e2e/server_process.h"
#include "tests/monitoring/raw_http.h"

namespace muster::e2e {

using monitoring::call;
using nlohmann::json;

constexpr auto kPatience = std::chrono::seconds(60);

template <class Condition>
bool eventually(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

/// musterd with one gateway, through which any number of devices speak.
class Served {
 public:
  explicit Served(const std::string& tasks, const std::string& top = "crash_limit = 0\n",
                  const std::map<std::string, std::string>& environment = {})
      : top_(top), tasks_(tasks) {
    enrolment_ =
        enroll(data(), {ingest::parse_key(gateway_.public_key).value()}, ingest::KeyRole::kGateway);
    write_config("info", "64MiB");
    start(environment);
  }

  void write_config(const std::string& level, const std::string& slab) const {
    std::ofstream(config()) << top_ << "data_dir = \"" << data() << "\"\n"
                            << "[ingest]\nlisten = \"tcp://127.0.0.1:" << port_ << "\"\nslab = \""
                            << slab << "\"\n"
                            << "[monitoring]\nlisten = \"" << http() << "\"\n"
                            << "[log]\nformat = \"json\"\nlevel = \"" << level << "\"\n"
                            << tasks_;
  }
  void start(const std::map<std::string, std::string>& environment = {}) {
    process_ = std::make_unique<ServerProcess>(config(), log(), environment);
  }
  bool is_up() const {
    return eventually([&] { return call(http(), "GET", "/readyz").status == 200; });
  }

  /// What the gateway connects with.
  client::ClientOptions connection() const {
    client::ClientOptions options;
    options.endpoint = "tcp://127.0.0.1:" + std::to_string(port_);
    options.server_key = enrolment_.server_key;
    options.identity = gateway_;
    return options;
  }
  /// One update of `device`; whether it got its receipt.
  Status submit(std::uint32_t device, const std::string& task, float value,
                Nanoseconds patience = 30 * kSecond) const {
    client::ClientOptions options = connection();
    options.device = device;
    options.reply_timeout = 2 * kSecond;
    options.attempts = 30;
    options.back_off_limit = kSecond;
    MUSTER_ASSIGN(auto device_client, client::Client::connect(options));
    MUSTER_ASSIGN(const auto assignment, device_client->join(task, patience));
    const std::vector<float> delta(assignment.dimension, value);
    MUSTER_ASSIGN(const auto update, client::encode(assignment, delta, 1));
    return device_client->submit(assignment, update, 1).status();
  }

  json status() const {
    return json::parse(call(http(), "GET", "/status.json").body, nullptr, false);
  }
  /// Lines of a file, each a JSON object or the test fails.
  static std::vector<json> lines_of(const std::string& path) {
    std::ifstream stream(path);
    std::vector<json> lines;
    for (std::string line; std::getline(stream, line);) {
      lines.push_back(json::parse(line, nullptr, false));
      EXPECT_TRUE(lines.back().is_object()) << path << ": " << line;
    }
    return lines;
  }
  std::vector<json> logged(const std::string& event) const {
    std::vector<json> found;
    for (const json& line : lines_of(log()))
      if (line.value("event", "") == event) found.push_back(line);
    return found;
  }

  ServerProcess& process() { return *process_; }
  const client::Identity& gateway() const { return gateway_; }
  std::string data() const { return folder_.path() + "/data"; }
  std::string config() const { return folder_.path() + "/muster.toml"; }
  std::string log() const { return folder_.path() + "/log"; }
  std::string http() const { return "127.0.0.1:" + std::to_string(http_port_); }
  const std::string& folder() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
  std::string top_, tasks_;
  int port_ = free_port(), http_port_ = free_port();
  client::Identity gateway_ = client::new_identity();
  Enrolment enrolment_;
  std::unique_ptr<ServerProcess> process_;
};

inline std::string task(const std::string& name, const std::string& more, int minimum = 3) {
  return "[[task]]\nname = \"" + name +
         "\"\ndimension = 256\nminimum_cohort = " + std::to_string(minimum) +
         "\nover_selection = 1.0\n" + more;
}

struct Sample {
  std::string family;  ///< histograms without _bucket, _count, _sum
  std::map<std::string, std::string> labels;
  double value = 0;
};

inline std::vector<Sample> scrape(const std::string& address) {
  const auto reply = call(address, "GET", "/metrics");
  EXPECT_EQ(reply.status, 200);
  std::set<std::string> histograms;
  std::vector<Sample> samples;
  std::istringstream lines(reply.body);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ") && line.ends_with(" histogram"))
      histograms.insert(line.substr(7, line.rfind(' ') - 7));
    if (line.empty() || line[0] == '#') continue;
    Sample sample;
    const std::size_t space = line.rfind(' '), brace = line.find('{');
    sample.value = std::strtod(line.c_str() + space, nullptr);
    sample.family = line.substr(0, std::min(space, brace));
    for (const char* suffix : {"_bucket", "_count", "_sum"})
      if (sample.family.ends_with(suffix)) {
        const std::string base =
            sample.family.substr(0, sample.family.size() - std::strlen(suffix));
        if (histograms.contains(base)) sample.family = base;
      }
    if (brace < space) {
      std::string rest = line.substr(brace + 1, line.rfind('}') - brace - 1);
      while (!rest.empty()) {
        const std::size_t equals = rest.find("=\""), end = rest.find('"', equals + 2);
        sample.labels[rest.substr(0, equals)] = rest.substr(equals + 2, end - equals - 2);
        rest.erase(0, std::min(rest.size(), end + 2));
      }
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

inline double total(const std::vector<Sample>& samples, const std::string& family) {
  double sum = 0;
  for (const Sample& sample : samples)
    if (sample.family == family && !sample.labels.contains("le")) sum += sample.value;
  return sum;
}

}  // namespace muster::e2e
