#include "loadtest/links.h"

#include <fmt/format.h>
#include <poll.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/limits.h"

namespace muster::loadtest {
namespace {

constexpr std::size_t kKeyCharacters = 40;
constexpr std::string_view kTcp = "tcp://";
/// Room for the exponent table of an assignment, beside the header itself.
constexpr std::size_t kAssignmentBytes = (std::size_t{1} << 24) + limits::kHeaderBytes;
/// Longest pause of ppoll, so that nothing depends on a wake-up.
constexpr Nanoseconds kLongestWait = 100 * kMillisecond;

#pragma pack(push, 1)
/// Names a connection; libzmq keeps names that begin with a zero byte for itself.
struct Name {
  char mark = 'L';
  std::uint32_t link = 0;
  std::uint32_t generation = 0;
};
#pragma pack(pop)

void set(void* socket, int option, int value) {
  MUSTER_CHECK(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

Status failure(const char* what) {
  return {Code::kUnavailable, "connection", std::string(what) + ": " + zmq_strerror(zmq_errno())};
}

/// Drops the rest of a message.
void skip(void* socket, zmq_msg_t& frame) {
  while (zmq_msg_more(&frame) != 0 && zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0) {
  }
}

void keep(void*, void*) {}

}  // namespace

bool is_loopback(const std::string& endpoint) {
  return endpoint.starts_with("ipc://") || endpoint.starts_with("tcp://127.");
}

Result<std::unique_ptr<Links>> Links::open(const LinkOptions& options, std::uint32_t count) {
  if (!is_loopback(options.endpoint))
    return Status(
        Code::kForbidden, "endpoint",
        options.endpoint + " is not on this machine\nLoad goes to 127.0.0.0/8 or ipc only.");
  std::unique_ptr<Links> links(new Links);
  links->options_ = options;
  links->lines_.resize(count);
  links->transport_ = std::make_unique<client::Transport>(options.io_threads);
  void* const socket = zmq_socket(links->transport_->context(), ZMQ_ROUTER);
  if (socket == nullptr) return failure("no socket");
  links->socket_ = socket;
  set(socket, ZMQ_LINGER, 0);
  set(socket, ZMQ_SNDHWM, options.high_water);
  set(socket, ZMQ_RCVHWM, 0);
  // Without it a message without room would vanish, and with it the proof that it was offered.
  set(socket, ZMQ_ROUTER_MANDATORY, 1);
  set(socket, ZMQ_RECONNECT_IVL, 100);
  set(socket, ZMQ_RECONNECT_IVL_MAX, 2'000);
  if (!options.server_key.empty() &&
      (options.server_key.size() != kKeyCharacters ||
       zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, options.server_key.c_str(),
                      kKeyCharacters + 1) != 0))
    return Status(Code::kInvalid, "key_malformed", "the server key is no key");
  std::size_t size = sizeof links->descriptor_;
  MUSTER_CHECK(zmq_getsockopt(socket, ZMQ_FD, &links->descriptor_, &size) == 0);
  return links;
}

Links::~Links() {
  if (socket_ != nullptr) zmq_close(socket_);
}

/// Every link has an address of 127/8 to come from, which also makes its endpoint one of a kind:
/// libzmq disconnects by endpoint.
std::string Links::endpoint_of(std::uint32_t link) const {
  if (!options_.endpoint.starts_with(kTcp)) return options_.endpoint;
  return fmt::format("tcp://127.{}.{}.{}:0;{}", 1 + (link >> 16), link >> 8 & 255, link & 255,
                     options_.endpoint.substr(kTcp.size()));
}

Status Links::connect(std::uint32_t link, const client::Identity& identity) {
  MUSTER_CHECK(!connected(link));
  Line& line = lines_[link];
  ++line.generation;
  const Name name{'L', link, line.generation};
  MUSTER_CHECK(zmq_setsockopt(socket_, ZMQ_CONNECT_ROUTING_ID, &name, sizeof name) == 0);
  // A connection keeps the options its socket had when it was made.
  if (!options_.server_key.empty()) {
    MUSTER_CHECK(zmq_setsockopt(socket_, ZMQ_CURVE_PUBLICKEY, identity.public_key.c_str(),
                                kKeyCharacters + 1) == 0);
    MUSTER_CHECK(zmq_setsockopt(socket_, ZMQ_CURVE_SECRETKEY, identity.secret_key.c_str(),
                                kKeyCharacters + 1) == 0);
  }
  if (zmq_connect(socket_, endpoint_of(link).c_str()) != 0) return failure("cannot connect");
  return {};
}

void Links::disconnect(std::uint32_t link) {
  if (!connected(link)) return;
  ++lines_[link].generation;
  MUSTER_CHECK(zmq_disconnect(socket_, endpoint_of(link).c_str()) == 0);
}

bool Links::send(std::uint32_t link, ConstBytes header, ConstBytes payload) {
  MUSTER_CHECK(connected(link));
  const Name name{'L', link, lines_[link].generation};
  if (zmq_send(socket_, &name, sizeof name, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
    MUSTER_CHECK(zmq_errno() == EAGAIN || zmq_errno() == EHOSTUNREACH);
    return false;
  }
  const bool more = !payload.empty();
  MUSTER_CHECK(zmq_send(socket_, header.data(), header.size(), more ? ZMQ_SNDMORE : 0) >= 0);
  if (!more) return true;
  zmq_msg_t frame;
  MUSTER_CHECK(zmq_msg_init_data(&frame, const_cast<std::byte*>(payload.data()), payload.size(),
                                 keep, nullptr) == 0);
  MUSTER_CHECK(zmq_msg_send(&frame, socket_, 0) >= 0);
  return true;
}

bool Links::receive(LinkMessage& out) {
  zmq_msg_t frame;
  zmq_msg_init(&frame);
  bool found = false;
  while (!found && zmq_msg_recv(&frame, socket_, ZMQ_DONTWAIT) >= 0) {
    Name name;
    const bool ours = zmq_msg_size(&frame) == sizeof name && zmq_msg_more(&frame) != 0;
    if (ours) name = load<Name>({static_cast<const std::byte*>(zmq_msg_data(&frame)), sizeof name});
    if (!ours || name.link >= lines_.size() || name.generation != lines_[name.link].generation) {
      skip(socket_, frame);
      continue;
    }
    if (zmq_msg_recv(&frame, socket_, ZMQ_DONTWAIT) < 0) break;
    wire::Parsed parsed = wire::parse_header(
        {static_cast<const std::byte*>(zmq_msg_data(&frame)), zmq_msg_size(&frame)},
        kAssignmentBytes);
    out.payload_bytes = 0;
    if (zmq_msg_more(&frame) != 0 && zmq_msg_recv(&frame, socket_, ZMQ_DONTWAIT) >= 0)
      out.payload_bytes = zmq_msg_size(&frame);
    skip(socket_, frame);
    if (!parsed.ok()) continue;
    out.link = name.link;
    out.message = std::move(parsed.message);
    found = true;
  }
  zmq_msg_close(&frame);
  return found;
}

void Links::wait(Nanoseconds until) {
  const Nanoseconds left = std::min(until - SystemClock().now(), kLongestWait);
  if (left <= 0) return;
  // The descriptor signals changes only; whoever calls this has received until nothing was left.
  pollfd item{descriptor_, POLLIN, 0};
  const timespec time{left / kSecond, left % kSecond};
  ::ppoll(&item, 1, &time, nullptr);
}

}  // namespace muster::loadtest
