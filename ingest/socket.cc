#include "ingest/socket.h"

#include <arpa/inet.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"

namespace muster::ingest {
namespace {

// Silent peers go after the handshake limit, dead ones when the kernel's probes have no answer.
// ZMQ_HEARTBEAT_* would do the latter too, but libzmq cancels a timer by walking all timers of its
// I/O thread, and every answer to a heartbeat cancels one: with 10,000 connections the thread did
// little else (docs/decisions.md). Heartbeats of clients are answered all the same. High waters
// count messages per peer: peers x high water x message is the memory they can take. A reply to a
// full or gone peer is dropped and counted, never waited for. ROUTER_HANDOVER stays off: routing
// ids are chosen by the peers, and one must not displace another.
constexpr int kHandshakeMs = 2'000;
constexpr int kProbeAfterSeconds = 15, kProbeEverySeconds = 5, kProbes = 3;
constexpr int kUnansweredMs = 30'000;  ///< what was sent and never confirmed ends a connection
constexpr int kBacklog = 4'096;
constexpr int kSendHighWater = 16;
constexpr int kLingerMs = 1'000;
// Per frame; a message of many frames is the guard's affair.
constexpr std::int64_t kFrameBytes =
    std::int64_t{std::max(limits::kHeaderBytes, limits::kPayloadBytes)} + 1024;

template <class T>
void set(void* socket, int option, const T& value) {
  MUSTER_CHECK(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

bool is_loopback(std::string_view endpoint) {
  constexpr std::string_view kTcp = "tcp://";
  if (!starts_with(endpoint, kTcp)) return true;  // ipc
  endpoint.remove_prefix(kTcp.size());
  const std::string host(endpoint.substr(0, endpoint.rfind(':')));
  if (host == "[::1]" || host == "localhost") return true;
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 &&
         (ntohl(address.s_addr) >> 24) == IN_LOOPBACKNET;
}

}  // namespace

void ContextDeleter::operator()(void* context) const {
  while (zmq_ctx_term(context) != 0 && zmq_errno() == EINTR) {
  }
}

void SocketDeleter::operator()(void* socket) const { zmq_close(socket); }

Context open_context(int io_threads) {
  Context context(zmq_ctx_new());
  MUSTER_CHECK(context != nullptr);
  MUSTER_CHECK(zmq_ctx_set(context.get(), ZMQ_IO_THREADS, io_threads) == 0);
  return context;
}

Socket open_socket(void* context, int type) {
  Socket socket(zmq_socket(context, type));
  MUSTER_CHECK(socket != nullptr);
  return socket;
}

Status check_endpoints(const ServiceOptions& options) {
  for (const std::string& endpoint : options.endpoints) {
    if (!starts_with(endpoint, "tcp://") && !starts_with(endpoint, "ipc://"))
      return Status(Code::kInvalid, "endpoint_unsupported",
                    "only tcp:// and ipc:// are served, not " + endpoint);
    if (!options.curve && !options.allow_plain_anywhere && !is_loopback(endpoint))
      return Status(Code::kInvalid, "plain_not_loopback",
                    endpoint +
                        " can be reached from outside and plain mode knows no identities: "
                        "turn CURVE on, or listen on 127.0.0.1");
  }
  return {};
}

Socket open_router(void* context, const ServiceOptions& options) {
  Socket router = open_socket(context, ZMQ_ROUTER);
  void* const s = router.get();
  set(s, ZMQ_HANDSHAKE_IVL, kHandshakeMs);
  set(s, ZMQ_TCP_KEEPALIVE, 1);
  set(s, ZMQ_TCP_KEEPALIVE_IDLE, kProbeAfterSeconds);
  set(s, ZMQ_TCP_KEEPALIVE_INTVL, kProbeEverySeconds);
  set(s, ZMQ_TCP_KEEPALIVE_CNT, kProbes);
  set(s, ZMQ_TCP_MAXRT, kUnansweredMs);
  set(s, ZMQ_MAXMSGSIZE, kFrameBytes);
  set(s, ZMQ_RCVHWM, options.receive_high_water);
  set(s, ZMQ_SNDHWM, kSendHighWater);
  set(s, ZMQ_ROUTER_MANDATORY, 1);
  set(s, ZMQ_BACKLOG, kBacklog);
  set(s, ZMQ_LINGER, kLingerMs);
  if (options.curve) {
    set(s, ZMQ_CURVE_SERVER, 1);
    set(s, ZMQ_CURVE_SECRETKEY, options.server_key.secret_key);
    MUSTER_CHECK(zmq_setsockopt(s, ZMQ_ZAP_DOMAIN, kZapDomain, sizeof kZapDomain - 1) == 0);
  }
  return router;
}

Result<BoundTo> bind_all(void* context, void* router, const std::vector<std::string>& endpoints) {
  // libzmq tells a monitor, and nobody else, which descriptor listens.
  constexpr char kMonitor[] = "inproc://muster-listeners";
  MUSTER_CHECK(zmq_socket_monitor(router, kMonitor, ZMQ_EVENT_LISTENING) == 0);
  const Socket monitor = open_socket(context, ZMQ_PAIR);
  MUSTER_CHECK(zmq_connect(monitor.get(), kMonitor) == 0);
  BoundTo bound;
  Status failure;
  for (const std::string& endpoint : endpoints) {
    if (zmq_bind(router, endpoint.c_str()) != 0) {
      failure = Status(Code::kUnavailable, "bind_failed",
                       "cannot listen on " + endpoint + ": " + zmq_strerror(zmq_errno()));
      break;
    }
    char text[512];
    std::size_t length = sizeof text;
    MUSTER_CHECK(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, text, &length) == 0);
    bound.endpoints.emplace_back(text);
    // An event is 16 bits of kind and 32 of value, here the descriptor; its address follows.
    std::array<std::byte, 6> event;
    char address[512];
    if (zmq_recv(monitor.get(), event.data(), event.size(), ZMQ_DONTWAIT) ==
            static_cast<int>(event.size()) &&
        zmq_recv(monitor.get(), address, sizeof address, ZMQ_DONTWAIT) >= 0)
      bound.descriptors.push_back(load<std::int32_t>(event, 2));
  }
  zmq_socket_monitor(router, nullptr, 0);
  if (!failure.ok()) return failure;
  return bound;
}

}  // namespace muster::ingest
