// What an SRE sees of a real server: metrics, readiness, signals, systemd, audit, log.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include <tuple>

#include "client/client.h"
#include "server/node.h"
#include "tests/e2e/server_process.h"
#include "tests/monitoring/raw_http.h"

namespace muster::e2e {
namespace {

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

  /// One update of `device`; whether it got its receipt.
  Status submit(std::uint32_t device, const std::string& task, float value,
                Nanoseconds patience = 30 * kSecond) const {
    client::ClientOptions options;
    options.endpoint = "tcp://127.0.0.1:" + std::to_string(port_);
    options.server_key = enrolment_.server_key;
    options.identity = gateway_;
    options.device = device;
    options.reply_timeout = 2 * kSecond;
    options.attempts = 30;
    options.back_off_limit = kSecond;
    MUSTER_ASSIGN(auto connection, client::Client::connect(options));
    MUSTER_ASSIGN(const auto assignment, connection->join(task, patience));
    const std::vector<float> delta(assignment.dimension, value);
    MUSTER_ASSIGN(const auto update, client::encode(assignment, delta, 1));
    return connection->submit(assignment, update, 1).status();
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

std::string task(const std::string& name, const std::string& more, int minimum = 3) {
  return "[[task]]\nname = \"" + name +
         "\"\ndimension = 256\nminimum_cohort = " + std::to_string(minimum) +
         "\nover_selection = 1.0\n" + more;
}

struct Sample {
  std::string family;  ///< histograms without _bucket, _count, _sum
  std::map<std::string, std::string> labels;
  double value = 0;
};

std::vector<Sample> scrape(const std::string& address) {
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

double total(const std::vector<Sample>& samples, const std::string& family) {
  double sum = 0;
  for (const Sample& sample : samples)
    if (sample.family == family && !sample.labels.contains("le")) sum += sample.value;
  return sum;
}

TEST(Observe, TheCatalogueIsWhatARealServerExportsBothWays) {
  Served server(task("krum", "rule = \"multi_krum\"\nf = 1\ntarget_cohort = 7\nrounds = 1\n", 5));
  ASSERT_TRUE(server.is_up());
  for (std::uint32_t device = 1; device <= 7; ++device)
    ASSERT_TRUE(server.submit(device, "krum", 0.01f * static_cast<float>(device)).ok());
  ASSERT_TRUE(eventually([&] { return total(scrape(server.http()), "muster_rounds_total") == 1; }));
  const auto samples = scrape(server.http());

  std::map<std::string_view, const Metric*> known;
  for (const Metric& metric : metric_catalogue()) known[metric.name] = &metric;
  std::set<std::string_view> seen;
  for (const Sample& sample : samples) {
    const auto found = known.find(sample.family);
    ASSERT_NE(found, known.end()) << sample.family << " is not in the catalogue";
    seen.insert(found->first);
    std::size_t labels = sample.labels.size() - sample.labels.count("le");
    EXPECT_EQ(labels, found->second->labels.size()) << sample.family;
    for (const MetricLabel& label : found->second->labels) {
      ASSERT_TRUE(sample.labels.contains(std::string(label.name))) << sample.family;
      const std::string& value = sample.labels.at(std::string(label.name));
      if (!label.values.empty()) {
        EXPECT_NE(std::ranges::find(label.values, value), label.values.end())
            << sample.family << " " << label.name << "=" << value;
      }
    }
  }
  for (const auto& [name, metric] : known) {
    if (metric->group == "privacy") continue;  // of private tasks only
    EXPECT_TRUE(seen.contains(name)) << name << " is in the catalogue and not exported";
  }
  EXPECT_LE(samples.size(), 1'500u);
  std::printf("series of a server with one task after a round: %zu of 1500\n", samples.size());

  // And the values are those of what happened.
  EXPECT_EQ(total(samples, "muster_updates_accepted_total"), 7);
  EXPECT_EQ(total(samples, "muster_updates_received_total"), 7);
  EXPECT_GT(total(samples, "muster_ingest_bytes_total"), 7 * 256);
  EXPECT_EQ(total(samples, "muster_tasks"), 1);
  EXPECT_EQ(total(samples, "muster_unready"), 0);
  EXPECT_NEAR(total(samples, "muster_robust_assumed_byzantine_ratio"), 1.0 / 7, 1e-9);
  EXPECT_EQ(total(samples, "muster_robust_excluded_total"), 3);  // m = n - f - 2 = 4 are kept
  EXPECT_EQ(total(samples, "muster_model_version"), 1);
  EXPECT_GT(total(samples, "muster_memory_budget_bytes"), 1e6);
  EXPECT_GT(total(samples, "muster_audit_records_total"), 2);
  const auto count_of = [&](const std::string& family, const std::string& label = {}) {
    double counts = 0;
    for (const Sample& sample : samples)
      if (sample.family == family && sample.labels.contains("le") &&
          sample.labels.at("le") == "+Inf" &&
          (label.empty() || std::ranges::any_of(sample.labels, [&](const auto& pair) {
             return pair.second == label;
           })))
        counts += sample.value;
    return counts;
  };
  EXPECT_EQ(count_of("muster_receipt_duration_seconds"), 7);
  EXPECT_EQ(count_of("muster_ingest_queue_duration_seconds"), 7);
  EXPECT_GE(count_of("muster_spool_commit_duration_seconds"), 1);
  EXPECT_EQ(count_of("muster_round_duration_seconds", "aggregate"), 1);
  EXPECT_GE(count_of("muster_kernel_duration_seconds", "gram"), 1);
  EXPECT_GE(count_of("muster_kernel_duration_seconds", "step"), 1);
}

TEST(Observe, NormsAndClippingAreMeasuredWhereTheRuleTakesThem) {
  Served server(
      task("clip", "rule = \"clipped_mean\"\nclip_norm = 1\ntarget_cohort = 4\nrounds = 1\n"));
  ASSERT_TRUE(server.is_up());
  // Norms 16 * value: three are longer than 1.
  for (const float value : {0.03f, 0.1f, 0.2f, 0.5f})
    ASSERT_TRUE(server.submit(static_cast<std::uint32_t>(value * 1000), "clip", value).ok());
  ASSERT_TRUE(eventually([&] { return total(scrape(server.http()), "muster_rounds_total") == 1; }));
  const auto samples = scrape(server.http());
  EXPECT_EQ(total(samples, "muster_clip_ratio"), 0.75);
  std::map<std::string, double> buckets;
  for (const Sample& sample : samples)
    if (sample.family == "muster_update_norm" && sample.labels.contains("le"))
      buckets[sample.labels.at("le")] = sample.value;
  EXPECT_EQ(buckets["0.3"], 0);
  EXPECT_EQ(buckets["1"], 1);
  EXPECT_EQ(buckets["3"], 2);
  EXPECT_EQ(buckets["10"], 4);
}

TEST(Observe, AScrapeIsQuickBeside200HalfOpenConnections) {
  Served server(task("t", "target_cohort = 4\n"));
  ASSERT_TRUE(server.is_up());
  std::vector<monitoring::RawConnection> silent;
  for (int i = 0; i < 200; ++i) {
    silent.emplace_back(server.http());
    ASSERT_TRUE(silent.back().connected());
    ASSERT_TRUE(silent.back().send("GET /metr"));
  }
  std::vector<double> took;
  for (int i = 0; i < 9; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(call(server.http(), "GET", "/metrics").status, 200);
    took.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::ranges::sort(took);
  std::printf("scrape beside 200 half-open connections: median %.1f ms, worst %.1f ms of 9\n",
              took[4] * 1e3, took[8] * 1e3);
  EXPECT_LT(took[4], 1.0) << "waited for the half-open ones";
}

/// The causes in /readyz of a node in this process.
std::set<std::string> causes(const std::string& address, int* http_status = nullptr) {
  const auto reply = call(address, "GET", "/readyz");
  if (http_status != nullptr) *http_status = reply.status;
  const json body = json::parse(reply.body, nullptr, false);
  std::set<std::string> found;
  if (body.is_object())
    for (const json& cause : body["causes"]) found.insert(cause.get<std::string>());
  return found;
}

class Readiness : public ::testing::Test {
 protected:
  Readiness() {
    config_.data_dir = folder_.path() + "/data";
    config_.ingest.listen = {"tcp://127.0.0.1:" + std::to_string(port_)};
    config_.ingest.security = "plain";
    config_.monitoring.listen = "127.0.0.1:" + std::to_string(http_port_);
    config_.backend.kind = "cpu";
    config_.spool.low_water_bytes = 0;
    server::TaskConfig task =
        server::parse_task("name = \"t\"\ndimension = 64\ntarget_cohort = 4\nminimum_cohort = 1\n",
                           "t")
            .value();
    config_.tasks = {task};
  }
  std::string http() const { return config_.monitoring.listen; }
  void expect_unready(const std::string& cause) {
    int status = 0;
    EXPECT_TRUE(causes(http(), &status).contains(cause)) << cause;
    EXPECT_EQ(status, 503);
    EXPECT_EQ(call(http(), "GET", "/livez").status, 200);
    for (const Sample& sample : scrape(http()))
      if (sample.family == "muster_unready" && sample.labels.at("cause") == cause) {
        EXPECT_EQ(sample.value, 1);
      }
  }

  TemporaryFolder folder_;
  int port_ = free_port(), http_port_ = free_port();
  server::Config config_;
};

TEST_F(Readiness, ReadyAndThenNotWhileItDrains) {
  std::atomic<bool> stop{false};
  auto node = server::Node::start(config_, &stop);
  ASSERT_TRUE(node.ok()) << node.status().to_string();
  int status = 0;
  EXPECT_TRUE(causes(http(), &status).empty());
  EXPECT_EQ(status, 200);
  stop = true;
  expect_unready("draining");
  EXPECT_TRUE((*node)->run().ok());
}

TEST_F(Readiness, NotReadyBelowTheDisksLowWater) {
  config_.spool.low_water_bytes = std::uint64_t{1} << 60;
  auto node = server::Node::start(config_);
  ASSERT_TRUE(node.ok()) << node.status().to_string();
  expect_unready("disk_low");
}

TEST_F(Readiness, NotReadyOnceTheSpoolFailed) {
  auto node = server::Node::start(config_);
  ASSERT_TRUE(node.ok()) << node.status().to_string();
  // From now on no file of this process may be written past its first byte: as a disk that fails.
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit none = before;
  none.rlim_cur = 1;
  ::setrlimit(RLIMIT_FSIZE, &none);
  client::ClientOptions options;
  options.endpoint = config_.ingest.listen[0];
  options.reply_timeout = kSecond;
  options.attempts = 2;
  std::thread device([&] {
    auto connection = client::Client::connect(options);
    if (!connection.ok()) return;
    const auto assignment = (*connection)->join("t", 10 * kSecond);
    if (!assignment.ok()) return;
    const auto update =
        client::encode(*assignment, std::vector<float>(assignment->dimension, 0.5f), 1);
    std::ignore = (*connection)->submit(*assignment, *update, 1);
  });
  EXPECT_TRUE(eventually([&] { return causes(http()).contains("spool_fault"); }));
  ::setrlimit(RLIMIT_FSIZE, &before);
  expect_unready("spool_fault");
  EXPECT_EQ((*node)->run().reason(), "spool_fault");
  node = Status(Code::kUnavailable, "gone", "");
  device.join();
}

/// The other end of NOTIFY_SOCKET.
class Systemd {
 public:
  explicit Systemd(const std::string& path) {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    const timeval limit{0, 100'000};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~Systemd() { ::close(fd_); }
  /// Whether a message with this line comes; what came before stays known.
  bool hears(const std::string& line, std::size_t times = 1) {
    return eventually([&] {
      char text[4096];
      const ssize_t got = ::recv(fd_, text, sizeof text, 0);
      if (got > 0) {
        std::istringstream message(std::string(text, static_cast<std::size_t>(got)));
        for (std::string part; std::getline(message, part);) ++lines_[part.substr(0, line.size())];
      }
      return lines_[line] >= times;
    });
  }
  void forget() { lines_.clear(); }

 private:
  int fd_ = -1;
  std::map<std::string, std::size_t> lines_;
};

TEST(Observe, SystemdHearsOfReadinessLifeReloadAndEnd) {
  TemporaryFolder folder;
  // A path of a Unix socket is short; the folder of the build may not be.
  const std::filesystem::path home = std::filesystem::temp_directory_path();
  const std::string path = home / ("muster-notify-" + std::to_string(::getpid()));
  Systemd systemd(path);
  Served server(task("t", "target_cohort = 4\n"), "crash_limit = 0\n",
                {{"NOTIFY_SOCKET", path}, {"WATCHDOG_USEC", "5000000"}});
  EXPECT_TRUE(systemd.hears("READY=1"));
  EXPECT_TRUE(systemd.hears("WATCHDOG=1", 2));
  EXPECT_TRUE(systemd.hears("STATUS="));

  // A reload takes what it can and names what needs a restart ...
  systemd.forget();
  server.write_config("debug", "96MiB");
  server.process().signal(SIGHUP);
  EXPECT_TRUE(systemd.hears("RELOADING=1"));
  EXPECT_TRUE(systemd.hears("READY=1"));
  ASSERT_TRUE(eventually([&] { return !server.logged("reloaded").empty(); }));
  EXPECT_EQ(server.logged("reloaded")[0]["in_effect"], "log.level");
  EXPECT_EQ(server.logged("reloaded")[0]["need_a_restart"], "ingest.slab");
  // ... and a broken file changes nothing.
  std::ofstream(server.config(), std::ios::app) << "[log\nlevel = 7\n";
  server.process().signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return !server.logged("reload_refused").empty(); }));
  EXPECT_EQ(call(server.http(), "GET", "/readyz").status, 200);

  server.process().signal(SIGTERM);
  EXPECT_TRUE(systemd.hears("STOPPING=1"));
  EXPECT_EQ(server.process().wait(), 0);
  std::filesystem::remove(path);
}

TEST(Observe, StaysDownAfterFiveCrashesUntilSomebodyLooked) {
  Served server(task("t", "target_cohort = 4\n"), "");
  for (int crash = 0; crash < 5; ++crash) {
    if (crash > 0) server.start();
    ASSERT_TRUE(server.is_up()) << crash;
    server.process().signal(SIGKILL);
    server.process().wait();
  }
  server.start();
  const int status = server.process().wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 69);
  std::filesystem::remove(server.data() + "/starts");
  server.start();
  ASSERT_TRUE(server.is_up());
  server.process().signal(SIGTERM);
  EXPECT_EQ(server.process().wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(server.data() + "/starts"));
}

TEST(Observe, TermUnderLoadLosesNoReceiptAndEndsWithinItsGrace) {
  Served server(task("t", "target_cohort = 100000\n"), "crash_limit = 0\ndrain_grace = \"10s\"\n");
  ASSERT_TRUE(server.is_up());
  std::atomic<std::uint32_t> next{1}, receipts{0};
  std::atomic<bool> going{true};
  std::vector<std::thread> devices;
  for (int i = 0; i < 4; ++i)
    devices.emplace_back([&] {
      while (going)
        if (server.submit(next++, "t", 0.25f, kSecond).ok()) ++receipts;
    });
  EXPECT_TRUE(eventually([&] { return receipts >= 20; }));
  const auto begin = std::chrono::steady_clock::now();
  server.process().signal(SIGTERM);
  EXPECT_EQ(server.process().wait(), 0);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 10.0);
  going = false;
  // Devices whose server went away come to an end once it is back.
  server.start();
  for (std::thread& device : devices) device.join();
  ASSERT_TRUE(server.is_up());
  const std::uint32_t cohort = server.status()["tasks"][0]["cohort"];
  std::printf("drained in %.2f s; %u receipts, %u updates in the round after the restart\n",
              took.count(), receipts.load(), cohort);
  EXPECT_GE(cohort, receipts);
}

TEST(Observe, LogAndAuditSayWhatHappened) {
  Served server(task("t", "target_cohort = 3\nrounds = 1\n"));
  ASSERT_TRUE(server.is_up());
  const std::string admin = "unix:" + server.data() + "/admin.sock";
  const client::Identity device = client::new_identity();
  ASSERT_EQ(call(admin, "POST", "/v1/keys",
                 json{{"keys", {{{"key", device.public_key}, {"label", "planted-name"}}}}}.dump())
                .status,
            200);
  ASSERT_EQ(call(admin, "POST", "/v1/keys/revoke", json{{"key", device.public_key}}.dump()).status,
            200);
  for (std::uint32_t i = 1; i <= 3; ++i) ASSERT_TRUE(server.submit(i, "t", 0.5f).ok());
  ASSERT_TRUE(eventually([&] { return !server.logged("task_finished").empty(); }));
  server.process().signal(SIGTERM);
  EXPECT_EQ(server.process().wait(), 0);

  for (const json& line : Served::lines_of(server.log()))
    for (const char* field : {"time", "level", "component", "event", "message"})
      EXPECT_TRUE(line.contains(field)) << line.dump();
  const json opened = server.logged("round_opened").at(0),
             released = server.logged("round_released").at(0);
  EXPECT_EQ(opened["trace_id"], released["trace_id"]);
  EXPECT_EQ(released["trace_id"].get<std::string>().size(), 32u);

  std::vector<std::string> told;
  std::uint64_t sequence = 0;
  for (const json& record : Served::lines_of(server.data() + "/audit.log")) {
    EXPECT_EQ(record["sequence"], ++sequence);
    told.push_back(record["kind"].get<std::string>() + " " + record["action"].get<std::string>());
    if (record["kind"] == "operator") {
      EXPECT_EQ(record["uid"], ::getuid());
    }
  }
  EXPECT_EQ(told, (std::vector<std::string>{"server started", "operator request", "key enrolled",
                                            "operator request", "key revoked", "round closed",
                                            "release released", "server stopped"}));
  for (const std::string& file : {server.log(), server.data() + "/audit.log"}) {
    std::ifstream stream(file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_EQ(text.find("planted-name"), std::string::npos) << file;
    EXPECT_EQ(text.find(device.public_key), std::string::npos) << file;
    EXPECT_EQ(text.find(device.secret_key), std::string::npos) << file;
  }
}

/// Ends the program's output line; runs `muster ARGUMENTS` of the build.
int muster(const std::string& arguments) {
  const int state = std::system((std::string(MUSTER_BIN_DIR) + "/muster " + arguments).c_str());
  return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

TEST(Observe, ABundleHoldsNoSecret) {
  const std::string label = "planted-label-7f3a";
  Served server(task("t", "target_cohort = 3\nrounds = 1\n"));
  ASSERT_TRUE(server.is_up());
  const std::string admin = "unix:" + server.data() + "/admin.sock";
  const client::Identity device = client::new_identity();
  ASSERT_EQ(call(admin, "POST", "/v1/keys",
                 json{{"keys", {{{"key", device.public_key}, {"label", label}}}}}.dump())
                .status,
            200);
  // A payload whose bytes are known: every coordinate is full scale.
  for (std::uint32_t i = 1; i <= 3; ++i) ASSERT_TRUE(server.submit(i, "t", 0.5f).ok());
  ASSERT_TRUE(eventually([&] { return !server.logged("task_finished").empty(); }));
  const std::string archive = server.folder() + "/bundle.tar.gz", folder = server.folder() + "/out";
  ASSERT_EQ(muster("--socket " + server.data() + "/admin.sock bundle --out " + archive +
                   " --config " + server.config() + " >/dev/null"),
            0);
  // A second one does not replace it.
  EXPECT_NE(muster("--socket " + server.data() + "/admin.sock bundle --out " + archive +
                   " >/dev/null 2>&1"),
            0);
  std::filesystem::create_directory(folder);
  ASSERT_EQ(std::system(("tar -xzf " + archive + " -C " + folder).c_str()), 0);

  // Every secret this server has, raw and in the ways it could have been written.
  server.process().signal(SIGTERM);
  EXPECT_EQ(server.process().wait(), 0);
  std::map<std::string, std::string> secrets = {{"label", label},
                                                {"device key", device.public_key},
                                                {"device secret", device.secret_key},
                                                {"gateway key", server.gateway().public_key},
                                                {"gateway secret", server.gateway().secret_key}};
  PosixStorage storage;
  auto control = server::ControlStore::open(storage, server.data() + "/control.db");
  ASSERT_TRUE(control.ok());
  const auto add = [&](const std::string& name, ConstBytes bytes) {
    secrets[name + " raw"] = std::string(as_text(bytes));
    secrets[name + " hex"] = ingest::hex(bytes);
  };
  add("server secret key", object_bytes((*control)->server_key().secret_key));
  add("server public key", object_bytes((*control)->server_key().public_key));
  secrets["server public key z85"] = ingest::key_text((*control)->server_key().public_key);
  add("node secret", object_bytes((*control)->node_secret()));
  const auto rounds = (*control)->rounds(1, 10);
  ASSERT_TRUE(rounds.ok());
  for (const auto& round : *rounds) add("round secret", object_bytes(round.secret));
  secrets["payload"] = std::string(64, '\x7f');

  std::size_t files = 0, bytes = 0;
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    ++files;
    bytes += text.size();
    names.insert(entry.path().filename());
    for (const auto& [what, secret] : secrets)
      EXPECT_EQ(text.find(secret), std::string::npos) << entry.path() << " holds the " << what;
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"bundle.json", "config.json", "doctor.json", "log.jsonl",
                                   "machine.json", "metrics.txt", "rounds-t.json", "status.json"}));
  std::printf("%zu planted secrets, %zu files, %zu bytes: none found\n", secrets.size(), files,
              bytes);
}

}  // namespace
}  // namespace muster::e2e
