#include "loadtest/hostile_peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "loadtest/links.h"

namespace muster::loadtest {
namespace {

constexpr Nanoseconds kPass = kMillisecond;
/// New connections in one pass, so that thousands do not come in one millisecond.
constexpr int kDialsAtOnce = 13;
constexpr Nanoseconds kTrickle = 500 * kMillisecond;  ///< between a slow loris' bytes, on average
constexpr Nanoseconds kSpeak = 20 * kMillisecond;     ///< the loud ones' pieces
constexpr std::size_t kPiece = 4096;

/// The greeting of ZMTP 3.1 with the mechanism CURVE, which a peer may begin and never end.
constexpr std::array<unsigned char, 64> greeting() {
  std::array<unsigned char, 64> bytes{};
  bytes[0] = 0xff;
  bytes[8] = 1;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes[11] = 1;
  bytes[12] = 'C', bytes[13] = 'U', bytes[14] = 'R', bytes[15] = 'V', bytes[16] = 'E';
  return bytes;
}
constexpr auto kGreeting = greeting();

bool address_of(const std::string& endpoint, sockaddr_in& address) {
  constexpr std::string_view kTcp = "tcp://";
  const std::size_t colon = endpoint.rfind(':');
  if (!endpoint.starts_with(kTcp) || !is_loopback(endpoint)) return false;
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(colon + 1))));
  const std::string host = endpoint.substr(kTcp.size(), colon - kTcp.size());
  return ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) == 1;
}

}  // namespace

HostilePeers::HostilePeers(const LoadPlan& plan, const std::string& endpoint, Nanoseconds start,
                           const std::atomic<bool>& stop)
    : plan_(plan),
      endpoint_(endpoint),
      start_(start),
      stop_(stop),
      outcomes_(plan.peers.size()),
      at_once_(plan.peers.size()),
      takes_part_(plan.peers.size()) {
  for (std::uint32_t g = 0; g < plan.peers.size(); ++g)
    for (std::uint32_t i = 0; i < plan.peers[g].count; ++i) peers_.emplace_back().group = g;
}

HostilePeers::~HostilePeers() {
  if (thread_.joinable()) thread_.join();
}

void HostilePeers::start() {
  if (!peers_.empty()) thread_ = std::thread([this] { run(); });
}

Result<std::vector<PeersOutcome>> HostilePeers::finish() {
  if (thread_.joinable()) thread_.join();
  if (!failure_.ok()) return failure_;
  return outcomes_;
}

void HostilePeers::run() {
  SystemClock clock;
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  MUSTER_CHECK(epoll_ >= 0);
  const Nanoseconds over = start_ + plan_.length();
  std::array<epoll_event, 256> events{};
  for (Nanoseconds now = clock.now(); now < over && !stop_ && failure_.ok(); now = clock.now()) {
    follow_phase(now);
    int dials = 0;
    while (!agenda_.empty() && agenda_.top().first <= now) {
      const auto [when, index] = agenda_.top();
      agenda_.pop();
      Peer& peer = peers_[index];
      if (when != peer.next || !takes_part_[peer.group]) continue;
      if (peer.descriptor >= 0)
        speak(peer, now);
      else if (dials++ < kDialsAtOnce)
        dial(peer, now);
      else
        act_at(peer, now + kPass);
    }
    const int ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(kPass / kMillisecond));
    for (int i = 0; i < ready; ++i)
      listen(peers_[events[static_cast<std::size_t>(i)].data.u32], clock.now());
  }
  for (Peer& peer : peers_)
    if (peer.descriptor >= 0) hang_up(peer);
  ::close(epoll_);
}

void HostilePeers::follow_phase(Nanoseconds now) {
  std::vector<bool> takes_part(plan_.peers.size());
  Nanoseconds begin = start_;
  for (const Phase& phase : plan_.phases) {
    const Nanoseconds end = begin + phase.settle + phase.duration;
    if (now >= begin && now < end)
      for (const std::uint32_t group : phase.peers) takes_part[group] = true;
    begin = end;
  }
  if (takes_part == takes_part_) return;
  for (Peer& peer : peers_) {
    if (!takes_part[peer.group]) {
      if (peer.descriptor >= 0) hang_up(peer);
    } else if (!takes_part_[peer.group]) {
      act_at(peer, std::max(now, peer.next));
    }
  }
  takes_part_ = takes_part;
}

void HostilePeers::act_at(Peer& peer, Nanoseconds when) {
  peer.next = when;
  agenda_.emplace(when, static_cast<std::uint32_t>(&peer - peers_.data()));
}

std::uint64_t HostilePeers::draw() {
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  return random_ >> 32;
}

Nanoseconds HostilePeers::about(Nanoseconds mean) {
  constexpr double kRange = 4294967296.0;
  return mean / 2 +
         static_cast<Nanoseconds>(static_cast<double>(mean) * static_cast<double>(draw()) / kRange);
}

void HostilePeers::stay_away(Peer& peer, Nanoseconds now) {
  act_at(peer, now + about(plan_.peers[peer.group].come_back));
}

void HostilePeers::dial(Peer& peer, Nanoseconds now) {
  sockaddr_in address{};
  if (!address_of(endpoint_, address)) {
    failure_ = Status(Code::kInvalid, "endpoint", "hostile peers need tcp:// on 127.0.0.0/8");
    return;
  }
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    failure_ = Status(Code::kExhausted, "descriptors",
                      std::string("no descriptor for a peer: ") + std::strerror(errno) +
                          "\nRaise the limit with ulimit -n or take fewer peers.");
    return;
  }
  if (::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    ::close(descriptor);
    return stay_away(peer, now);
  }
  peer.descriptor = descriptor;
  peer.sent = 0;
  act_at(peer, now + kSpeak);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.u32 = static_cast<std::uint32_t>(&peer - peers_.data());
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event);
  PeersOutcome& outcome = outcomes_[peer.group];
  ++outcome.connected;
  ++connected_;
  outcome.most_at_once = std::max(outcome.most_at_once, ++at_once_[peer.group]);
}

void HostilePeers::speak(Peer& peer, Nanoseconds now) {
  std::array<unsigned char, kPiece> piece{};
  std::size_t bytes = 0;
  Nanoseconds pause = kSpeak;
  switch (plan_.peers[peer.group].kind) {
    case PeerKind::kIdle:
      return;  // never does anything again
    case PeerKind::kHalfOpen:
      // A greeting, then nothing for ever.
      if (peer.sent == 0) {
        bytes = kGreeting.size();
        std::copy(kGreeting.begin(), kGreeting.end(), piece.begin());
      }
      break;
    case PeerKind::kSlowLoris:
      bytes = 1;
      piece[0] = peer.sent < kGreeting.size() ? kGreeting[peer.sent] : 0;
      pause = about(kTrickle);
      break;
    case PeerKind::kOversized:
      // A greeting, then a frame that claims 2^62 bytes, and bytes.
      bytes = piece.size();
      if (peer.sent == 0) {
        std::copy(kGreeting.begin(), kGreeting.end(), piece.begin());
        piece[kGreeting.size()] = 2;
        piece[kGreeting.size() + 1] = 0x40;
      }
      break;
    case PeerKind::kGarbage:
      bytes = piece.size();
      for (unsigned char& byte : piece) byte = static_cast<unsigned char>(draw() >> 24);
      break;
  }
  if (bytes == 0) return;  // nor does this one
  const ssize_t sent = ::send(peer.descriptor, piece.data(), bytes, MSG_NOSIGNAL);
  if (sent > 0) {
    peer.sent += static_cast<std::uint64_t>(sent);
    outcomes_[peer.group].bytes_sent += static_cast<std::uint64_t>(sent);
  } else if (errno != EAGAIN && errno != ENOTCONN && errno != EINPROGRESS) {
    ++outcomes_[peer.group].cut;
    hang_up(peer);
    return stay_away(peer, now);
  }
  act_at(peer, now + pause);
}

void HostilePeers::listen(Peer& peer, Nanoseconds now) {
  if (peer.descriptor < 0) return;
  std::array<char, kPiece> piece;
  ssize_t got = 0;
  while ((got = ::recv(peer.descriptor, piece.data(), piece.size(), 0)) > 0)
    outcomes_[peer.group].bytes_received += static_cast<std::uint64_t>(got);
  if (got < 0 && errno == EAGAIN) return;
  ++outcomes_[peer.group].cut;
  hang_up(peer);
  stay_away(peer, now);
}

void HostilePeers::hang_up(Peer& peer) {
  ::close(peer.descriptor);
  peer.descriptor = -1;
  --connected_;
  --at_once_[peer.group];
}

}  // namespace muster::loadtest
