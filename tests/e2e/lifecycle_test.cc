// A real server's readiness, signals, crash loops, and what systemd hears of it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <tuple>

#include "server/node.h"
#include "tests/e2e/served.h"

namespace muster::e2e {
namespace {

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

}  // namespace
}  // namespace muster::e2e
