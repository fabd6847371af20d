// The connection guard against peers that libzmq alone would let have their way. Speaks raw ZMTP.
#include "ingest/guard.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "tests/ingest/node.h"

namespace muster::ingest {
namespace {

ServiceOptions plain() {
  ServiceOptions options;
  options.curve = false;
  return options;
}

/// A TCP connection to the node.
class RawPeer {
 public:
  explicit RawPeer(const TestNode& node) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const std::string endpoint = node.endpoint();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval patience{kPatienceMs / 1000, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~RawPeer() { ::close(fd_); }
  RawPeer(const RawPeer&) = delete;

  bool write(ConstBytes bytes) {
    return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  /// ZMTP 3.0 with NULL, as a DEALER; reads the other side's half.
  bool handshake() {
    std::array<std::byte, 64> greeting{};
    greeting[0] = std::byte{0xff};
    greeting[9] = std::byte{0x7f};
    greeting[10] = std::byte{3};
    std::memcpy(greeting.data() + 12, "NULL", 4);
    static constexpr char kReady[] =
        "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
        "DEALER";
    return write(greeting) && read(64) && write(as_bytes({kReady, sizeof kReady - 1})) && read(2);
  }
  /// A frame of `bytes` zeros, more to follow.
  bool write_more(std::size_t bytes) {
    std::vector<std::byte> frame(9 + bytes);
    frame[0] = std::byte{3};  // more, long
    for (int i = 0; i < 8; ++i)
      frame[static_cast<std::size_t>(1 + i)] =
          static_cast<std::byte>((bytes >> (56 - 8 * i)) & 0xff);
    return write(frame);
  }
  bool read(std::size_t bytes) {
    std::vector<std::byte> target(bytes);
    return ::recv(fd_, target.data(), bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
  }
  /// The server's end of this connection: it runs in this process.
  int other_end() const {
    sockaddr_in here{};
    socklen_t size = sizeof here;
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&here), &size), 0);
    for (int fd = 0; fd < 1024; ++fd) {
      sockaddr_in peer{};
      size = sizeof peer;
      if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
          peer.sin_family == AF_INET && peer.sin_port == here.sin_port)
        return fd;
    }
    return -1;
  }
  /// Whether the other side ends the connection within the patience.
  bool await_end() {
    std::array<std::byte, 4096> target;
    ssize_t got;
    while ((got = ::recv(fd_, target.data(), target.size(), 0)) > 0) {
    }
    return got == 0 || errno == ECONNRESET;
  }

 private:
  int fd_;
};

/// libzmq's own heartbeats would cost a walk over all connections' timers each.
TEST(Guard, ThatAPeerIsDeadIsForTheKernelToFindOut) {
  TestNode node(plain());
  RawPeer peer(node);
  ASSERT_TRUE(peer.handshake());
  const int fd = peer.other_end();
  ASSERT_GE(fd, 0);
  const auto option = [&](int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(fd, level, name, &value, &size), 0);
    return value;
  };
  EXPECT_NE(option(SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 15);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPINTVL), 5);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPCNT), 3);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 30'000);
}

TEST(Guard, LibzmqComesToUs) {
  // Fails where libzmq is linked statically or binds its symbols otherwise: then nothing is
  // guarded.
  TestNode node(plain());
  RawPeer peer(node);
  EXPECT_TRUE(node.await_metric("muster_connections", "", 1));
}

TEST(Guard, CutsABombOfMoreFramesAndNobodyElse) {
  TestNode node(plain());
  const RoundSpec spec = small_round();
  node.service->open_round(spec, {});
  RawDevice honest(node, nullptr);
  ASSERT_TRUE(honest.ask(frames_of(wire::Hello{})));
  RawPeer bomb(node);
  ASSERT_TRUE(bomb.handshake());
  std::size_t sent = 0;
  while (sent < 400 && bomb.write_more(1 << 20)) ++sent;
  // Six MiB, and what the sockets' buffers hold.
  EXPECT_LT(sent, 40u);
  EXPECT_EQ(node.metric("muster_connections_cut_total", "bytes_without_message"), 1);
  EXPECT_TRUE(honest.ask(frames_of(wire::Hello{})));
}

TEST(Guard, LetsABusyPeerSendForEver) {
  TestNode node(plain());
  RawDevice device(node, nullptr);
  Frames large = frames_of(wire::Hello{});
  large.frames.emplace_back(1 << 20);
  for (int i = 0; i < 100; ++i) device.send(large);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(device.receive()) << i;
  EXPECT_EQ(node.metric("muster_connections_cut_total", "bytes_without_message"), 0);
}

TEST(Guard, ShedsConnectionsBeyondTheLimit) {
  ServiceOptions options = plain();
  options.max_connections = 8;
  TestNode node(options);
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 8; ++i) {
    peers.push_back(std::make_unique<RawPeer>(node));
    ASSERT_TRUE(peers.back()->handshake());
  }
  for (int i = 0; i < 12; ++i) EXPECT_TRUE(RawPeer(node).await_end());
  EXPECT_EQ(node.metric("muster_connections"), 8);
  EXPECT_EQ(node.metric("muster_connections_cut_total", "limit"), 12);
  peers.clear();
  RawPeer late(node);
  while (!RawPeer(node).handshake()) {
  }
  EXPECT_LE(node.metric("muster_connections"), 8);
}

TEST(Guard, CapsTheConnectionsOfOneAddress) {
  ServiceOptions options = plain();
  options.max_connections_per_address = 2;
  TestNode node(options);
  RawPeer first(node);
  RawPeer second(node);
  ASSERT_TRUE(first.handshake() && second.handshake());
  EXPECT_TRUE(RawPeer(node).await_end());
}

TEST(Guard, KeepsDescriptorsInReserve) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest = ::dup(0);
  ::close(lowest);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(lowest) + 120;  // both ends of a connection are ours
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  {
    TestNode node(plain());
    std::vector<std::unique_ptr<RawPeer>> peers;
    do peers.push_back(std::make_unique<RawPeer>(node));
    while (peers.back()->handshake() && peers.size() < 120);
    EXPECT_GT(peers.size(), 10u);
    const int spare = ::dup(0);
    EXPECT_GE(spare, 0) << "there is still one for a file";
    ::close(spare);
    EXPECT_TRUE(node.await_metric("muster_connections_cut_total", "limit", 1));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(GuardSweep, CutsAPeerThatTakesTooLongForAMessageButNotAnIdleOne) {
  Stats stats;
  GuardLimits limits;
  limits.bytes_in_flight = 1 << 20;
  Guard guard(limits, stats);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener, 4), 0);
  socklen_t length = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  guard.guard_listeners({&listener, 1});
  struct Pair {
    int far;
    int near;
  };
  auto connect = [&] {
    Pair pair{::socket(AF_INET, SOCK_STREAM, 0), -1};
    EXPECT_EQ(::connect(pair.far, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    pair.near = ::accept(listener, nullptr, nullptr);
    return pair;
  };
  std::array<std::byte, 100'000> buffer{};
  auto deliver = [&](const Pair& pair, std::size_t bytes) {
    EXPECT_EQ(::send(pair.far, buffer.data(), bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    std::size_t got = 0;
    while (got < bytes) {
      const ssize_t more = ::recv(pair.near, buffer.data(), bytes - got, 0);
      if (more <= 0) return false;
      got += static_cast<std::size_t>(more);
    }
    return true;
  };
  const Pair idle = connect();
  const Pair slow = connect();
  const Pair steady = connect();
  Nanoseconds now = 10 * kSecond;
  guard.sweep(now);
  now += 600 * kSecond;  // long silence first: it counts for nobody
  for (int second = 0; second < 90; ++second) {
    now += kSecond;
    if (second % 15 == 0) {
      EXPECT_TRUE(deliver(idle, 40));  // heartbeats
    }
    if (second < 59) {
      EXPECT_TRUE(deliver(slow, second == 0 ? 90'000 : 200));
    }
    EXPECT_TRUE(deliver(steady, 5'000));
    if (second % 10 == 0) guard.message_completed(steady.near, "steady");
    guard.sweep(now);
  }
  EXPECT_FALSE(deliver(slow, 1)) << "cut";
  EXPECT_TRUE(deliver(idle, 1));
  EXPECT_TRUE(deliver(steady, 1));
  guard.disconnect("steady");
  EXPECT_FALSE(deliver(steady, 1));
  EXPECT_EQ(guard.connections(), 3u);
  for (const Pair& pair : {idle, slow, steady}) {
    ::close(pair.near);
    ::close(pair.far);
  }
  ::close(listener);
  EXPECT_EQ(guard.connections(), 0u);
}

}  // namespace
}  // namespace muster::ingest
