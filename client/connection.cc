#include "client/connection.h"

#include <zmq.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace muster::client {
namespace {

constexpr std::size_t kKeyCharacters = 40;
/// Sockets of one transport: a fleet of 30,000 with their monitors.
constexpr int kMaxSockets = 65'535;
/// Messages queued before send() waits: a burst of chunks (client.cc) fits.
constexpr int kHighWater = 64;
/// An Assignment carries one scale exponent a block; this is 2^24 of them.
constexpr std::size_t kAssignmentBytes = (std::size_t{1} << 24) + limits::kHeaderBytes;
/// ZAP's status code for a key that will not be let in (300 and 500 may pass).
constexpr std::uint32_t kZapDenied = 400;
constexpr int kReconnectMs = 100;
constexpr int kReconnectMaxMs = 10'000;
/// A dead server is noticed while nothing is being sent.
constexpr int kHeartbeatMs = 10'000;
constexpr int kHeartbeatTimeoutMs = 20'000;

/// A frame of libzmq's.
class Frame {
 public:
  Frame() { MUSTER_CHECK(zmq_msg_init(&message_) == 0); }
  ~Frame() { zmq_msg_close(&message_); }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  bool receive(void* socket) { return zmq_msg_recv(&message_, socket, ZMQ_DONTWAIT) >= 0; }
  ConstBytes bytes() {
    return {static_cast<const std::byte*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
  }
  bool more() { return zmq_msg_more(&message_) != 0; }

 private:
  zmq_msg_t message_;
};

bool set(void* socket, int option, int value) {
  return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

bool set_key(void* socket, int option, const std::string& key) {
  return key.size() == kKeyCharacters &&
         zmq_setsockopt(socket, option, key.c_str(), kKeyCharacters + 1) == 0;
}

long to_milliseconds(Nanoseconds wait) {
  const Nanoseconds rounded_up = (std::max<Nanoseconds>(wait, 0) + kMillisecond - 1) / kMillisecond;
  return std::min<Nanoseconds>(rounded_up, std::numeric_limits<int>::max());
}

/// Monitors are named, and the name must be free in the context.
std::string fresh_monitor_name() {
  static std::atomic<std::uint64_t> next{0};
  return "inproc://muster-client-monitor-" + std::to_string(next++);
}

Status failure(const char* what) {
  return {Code::kUnavailable, "connection", std::string(what) + ": " + zmq_strerror(zmq_errno())};
}

}  // namespace

Transport::Transport(int io_threads) : context_(zmq_ctx_new()) {
  MUSTER_CHECK(context_ != nullptr);
  MUSTER_CHECK(zmq_ctx_set(context_, ZMQ_IO_THREADS, io_threads) == 0);
  MUSTER_CHECK(zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, kMaxSockets) == 0);
}

Transport::~Transport() {
  while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
  }
}

Identity new_identity() {
  std::array<char, kKeyCharacters + 1> public_key{};
  std::array<char, kKeyCharacters + 1> secret_key{};
  MUSTER_CHECK(zmq_curve_keypair(public_key.data(), secret_key.data()) == 0);
  return {public_key.data(), secret_key.data()};
}

Result<std::unique_ptr<Connection>> Connection::open(const ClientOptions& options) {
  std::unique_ptr<Connection> connection(new Connection);
  MUSTER_TRY(connection->start(options));
  return connection;
}

Status Connection::start(const ClientOptions& options) {
  if (options.transport == nullptr) own_transport_ = std::make_unique<Transport>();
  void* const context =
      options.transport != nullptr ? options.transport->context() : own_transport_->context();
  socket_ = zmq_socket(context, ZMQ_DEALER);
  if (socket_ == nullptr) return failure("no socket");
  const bool tuned = set(socket_, ZMQ_LINGER, 0) && set(socket_, ZMQ_SNDHWM, kHighWater) &&
                     set(socket_, ZMQ_RCVHWM, kHighWater) &&
                     set(socket_, ZMQ_RECONNECT_IVL, kReconnectMs) &&
                     set(socket_, ZMQ_RECONNECT_IVL_MAX, kReconnectMaxMs) &&
                     set(socket_, ZMQ_HEARTBEAT_IVL, kHeartbeatMs) &&
                     set(socket_, ZMQ_HEARTBEAT_TIMEOUT, kHeartbeatTimeoutMs);
  const std::int64_t largest = std::max(kAssignmentBytes, limits::kPayloadBytes);
  MUSTER_CHECK(tuned && zmq_setsockopt(socket_, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0);
  if (!options.server_key.empty() &&
      !(set_key(socket_, ZMQ_CURVE_SERVERKEY, options.server_key) &&
        set_key(socket_, ZMQ_CURVE_PUBLICKEY, options.identity.public_key) &&
        set_key(socket_, ZMQ_CURVE_SECRETKEY, options.identity.secret_key)))
    return {Code::kInvalid, "key_malformed",
            "server key, public key and secret key are 40 characters of Z85 each"};
  const std::string monitor = fresh_monitor_name();
  const int events = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
  if (zmq_socket_monitor(socket_, monitor.c_str(), events) != 0) return failure("no monitor");
  monitor_ = zmq_socket(context, ZMQ_PAIR);
  if (monitor_ == nullptr || !set(monitor_, ZMQ_LINGER, 0) ||
      zmq_connect(monitor_, monitor.c_str()) != 0)
    return failure("no monitor");
  if (zmq_connect(socket_, options.endpoint.c_str()) != 0)
    return {Code::kInvalid, "endpoint",
            "cannot connect to '" + options.endpoint + "': " + zmq_strerror(zmq_errno())};
  return {};
}

Connection::~Connection() {
  if (socket_ != nullptr) zmq_socket_monitor(socket_, nullptr, 0);
  if (monitor_ != nullptr) zmq_close(monitor_);
  if (socket_ != nullptr) zmq_close(socket_);
}

Event Connection::send(const wire::Message& message, ConstBytes payload, Nanoseconds wait) {
  const std::vector<std::byte> header = wire::build_header(message);
  const bool more = wire::has_payload(message.body);
  const Nanoseconds end = clock_.now() + wait;
  const int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
  while (zmq_send(socket_, header.data(), header.size(), flags) < 0) {
    // A server that turned us away also leaves no pipe to send into.
    watch();
    if (refused_) return Event::kRefused;
    const Nanoseconds left = end - clock_.now();
    if (left <= 0) return Event::kSilence;
    poll(ZMQ_POLLOUT, left);
  }
  // Frames of one message find room together.
  while (more && zmq_send(socket_, payload.data(), payload.size(), 0) < 0)
    MUSTER_CHECK(zmq_errno() == EINTR);
  return Event::kSent;
}

void Connection::poll(short events, Nanoseconds wait) {
  std::array<zmq_pollitem_t, 2> items = {{{socket_, 0, events, 0}, {monitor_, 0, ZMQ_POLLIN, 0}}};
  zmq_poll(items.data(), static_cast<int>(items.size()), to_milliseconds(wait));
}

Event Connection::receive(Nanoseconds wait, Incoming& out) {
  const Nanoseconds end = clock_.now() + wait;
  for (;;) {
    if (take(out)) return Event::kMessage;
    watch();
    if (refused_) return Event::kRefused;
    if (std::exchange(disconnected_, false)) return Event::kDisconnected;
    const Nanoseconds left = end - clock_.now();
    if (left <= 0) return Event::kSilence;
    poll(ZMQ_POLLIN, left);
  }
}

bool Connection::take(Incoming& out) {
  for (;;) {
    Frame header;
    if (!header.receive(socket_)) return false;
    Frame payload;
    bool extra = false;
    if (header.more() && payload.receive(socket_)) {
      for (bool more = payload.more(); more;) {
        Frame rest;
        extra = true;
        more = rest.receive(socket_) && rest.more();
      }
    }
    const std::array<ConstBytes, 2> frames = {header.bytes(), payload.bytes()};
    wire::Parsed parsed =
        wire::parse_frames(std::span(frames).first(header.more() ? 2 : 1), kAssignmentBytes);
    if (extra || !parsed.ok()) continue;
    out.message = std::move(parsed.message);
    out.payload.assign(frames[1].begin(), frames[1].end());
    return true;
  }
}

void Connection::watch() {
  for (;;) {
    Frame head;
    if (!head.receive(monitor_)) return;
    for (bool more = head.more(); more;) {
      Frame address;
      more = address.receive(monitor_) && address.more();
    }
    // A monitor's event: u16 kind, u32 value, not aligned.
    if (head.bytes().size() < 6) continue;
    if (load<std::uint16_t>(head.bytes()) == ZMQ_EVENT_DISCONNECTED)
      disconnected_ = true;
    else if (load<std::uint32_t>(head.bytes(), 2) == kZapDenied)
      refused_ = true;
  }
}

}  // namespace muster::client
