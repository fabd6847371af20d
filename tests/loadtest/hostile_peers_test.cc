// Peers that do not speak the protocol, against a listener that does not either.
#include "loadtest/hostile_peers.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace muster::loadtest {
namespace {

/// Listens on loopback. Whoever connects waits, or is closed at once.
class Listener {
 public:
  explicit Listener(bool closes) {
    descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const bare = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(descriptor_, bare, length), 0);
    EXPECT_EQ(::listen(descriptor_, 256), 0);
    EXPECT_EQ(::getsockname(descriptor_, bare, &length), 0);
    endpoint_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    if (closes)
      thread_ = std::thread([this] {
        for (int peer; (peer = ::accept(descriptor_, nullptr, nullptr)) >= 0;) ::close(peer);
      });
  }
  ~Listener() {
    ::shutdown(descriptor_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(descriptor_);
  }
  const std::string& endpoint() const { return endpoint_; }

 private:
  int descriptor_ = -1;
  std::string endpoint_;
  std::thread thread_;
};

/// A second with them, and then longer than any test waits without.
LoadPlan plan_of(std::vector<PeersPlan> peers) {
  LoadPlan plan;
  plan.phases = {{"with", 0, kSecond, {}, {}}, {"without", 0, 600 * kSecond, {}, {}}};
  for (std::uint32_t i = 0; i < peers.size(); ++i) plan.phases[0].peers.push_back(i);
  plan.peers = std::move(peers);
  return plan;
}

/// What became of them when all had gone.
std::vector<PeersOutcome> run(const LoadPlan& plan, bool closes) {
  const Listener listener(closes);
  std::atomic<bool> stop{false};
  SystemClock clock;
  const Nanoseconds start = clock.now(), over = start + plan.phases[0].duration;
  HostilePeers peers(plan, listener.endpoint(), start, stop);
  peers.start();
  while (clock.now() < over || (peers.connected() > 0 && clock.now() < over + 60 * kSecond))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(peers.connected(), 0u);
  stop = true;
  auto outcome = peers.finish();
  EXPECT_TRUE(outcome.ok()) << outcome.status().to_string();
  return outcome.ok() ? *outcome : std::vector<PeersOutcome>(plan.peers.size());
}

TEST(HostilePeers, ComeAndGoWithTheirPhaseAndSpeakAsTheirKindDoes) {
  const auto outcome = run(plan_of({{"slow", PeerKind::kSlowLoris, 40},
                                    {"half", PeerKind::kHalfOpen, 5},
                                    {"idle", PeerKind::kIdle, 5}}),
                           false);
  for (const PeersOutcome& group : outcome) EXPECT_EQ(group.cut, 0u);
  EXPECT_EQ(outcome[0].connected, 40u);
  EXPECT_EQ(outcome[0].most_at_once, 40u);
  // A byte at once and one each quarter to three quarters of a second.
  EXPECT_GT(outcome[0].bytes_sent, 40u);
  EXPECT_LE(outcome[0].bytes_sent, 40u * 5);
  EXPECT_EQ(outcome[1].bytes_sent, 5u * 64);  // a greeting
  EXPECT_EQ(outcome[2].connected, 5u);
  EXPECT_EQ(outcome[2].bytes_sent, 0u);
}

TEST(HostilePeers, WhoIsCutComesBack) {
  const auto outcome = run(plan_of({{"slow", PeerKind::kSlowLoris, 10, 100 * kMillisecond}}), true);
  // Every 50 to 150 ms.
  EXPECT_GT(outcome[0].connected, 10u);
  EXPECT_LE(outcome[0].connected, 210u);
  EXPECT_GT(outcome[0].cut, 10u);
  EXPECT_LE(outcome[0].most_at_once, 10u);
}

TEST(HostilePeers, WantLoopback) {
  const std::atomic<bool> stop{false};
  const LoadPlan plan = plan_of({{"slow", PeerKind::kSlowLoris, 1}});
  HostilePeers peers(plan, "tcp://192.0.2.1:9", SystemClock().now(), stop);
  peers.start();
  const auto outcome = peers.finish();
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.status().reason(), "endpoint");
}

}  // namespace
}  // namespace muster::loadtest
