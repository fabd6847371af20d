// The fleet of the ingest pairs: a few gateway connections that send ready-made Submit messages.
#include <fcntl.h>
#include <unistd.h>
#include <zmq.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "tests/bench/bench.h"
#include "tests/bench/traffic.h"

namespace muster::bench {
namespace {

struct Connection {
  void* socket = nullptr;
  std::vector<std::vector<std::byte>> headers;
  std::size_t sent = 0, receipts = 0;  ///< headers in turn, and all that count
  std::vector<std::size_t> again;      ///< headers whose message found no room
};

void say(char what) { MUSTER_CHECK(::write(STDOUT_FILENO, &what, 1) == 1); }

void no_free(void*, void*) {}

void send_next(Connection& connection, std::vector<std::byte>& payload) {
  std::size_t next = connection.sent;
  if (connection.again.empty()) {
    ++connection.sent;
  } else {
    next = connection.again.back();
    connection.again.pop_back();
  }
  const auto& header = connection.headers[next];
  MUSTER_CHECK(zmq_send(connection.socket, header.data(), header.size(), ZMQ_SNDMORE) >= 0);
  zmq_msg_t message;
  zmq_msg_init_data(&message, payload.data(), payload.size(), no_free, nullptr);
  MUSTER_CHECK(zmq_msg_send(&message, connection.socket, 0) >= 0);
}

/// Takes every waiting reply; counts receipts, notes what must be sent again, dies on a refusal.
void take_replies(Connection& connection) {
  zmq_msg_t message;
  zmq_msg_init(&message);
  while (zmq_msg_recv(&message, connection.socket, ZMQ_DONTWAIT) >= 0) {
    const auto parsed = wire::parse_header(
        {static_cast<const std::byte*>(zmq_msg_data(&message)), zmq_msg_size(&message)});
    MUSTER_CHECK(parsed.ok());
    if (const auto* refusal = std::get_if<wire::Refusal>(&parsed.message.body)) {
      if (refusal->retry_ms > 0) {
        connection.again.push_back((refusal->device - 1) / kConnections);
        continue;
      }
      std::fprintf(stderr, "sender: refused: %s\n", wire::describe(refusal->reason).token);
      std::_Exit(1);
    }
    if (const auto* receipt = std::get_if<wire::Receipt>(&parsed.message.body))
      connection.receipts += receipt->entries.size();
  }
  zmq_msg_close(&message);
}

}  // namespace

// --sender blast|submit ENDPOINT BYTES COUNT WINDOW KEYFILE|-
int run_sender(int argc, char** argv) {
  MUSTER_CHECK_OP(argc, ==, 8);
  const bool windowed = std::strcmp(argv[2], "submit") == 0;
  const std::size_t bytes = std::strtoul(argv[4], nullptr, 10);
  const std::size_t count = std::strtoul(argv[5], nullptr, 10);
  const std::size_t window = std::strtoul(argv[6], nullptr, 10);
  std::vector<std::byte> payload = traffic_payload(bytes);
  void* const context = zmq_ctx_new();
  std::vector<Connection> connections(kConnections);
  FILE* const keys = std::strcmp(argv[7], "-") == 0 ? nullptr : std::fopen(argv[7], "r");
  char server_key[64] = {};
  if (keys != nullptr) MUSTER_CHECK(std::fscanf(keys, "%63s", server_key) == 1);
  for (std::size_t i = 0; i < connections.size(); ++i) {
    Connection& connection = connections[i];
    connection.socket = zmq_socket(context, ZMQ_DEALER);
    const int none = 0, high_water = static_cast<int>(window);
    zmq_setsockopt(connection.socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(connection.socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt(connection.socket, ZMQ_RCVHWM, &none, sizeof none);
    if (keys != nullptr) {
      char public_key[64], secret_key[64];
      MUSTER_CHECK(std::fscanf(keys, "%63s %63s", public_key, secret_key) == 2);
      zmq_setsockopt(connection.socket, ZMQ_CURVE_SERVERKEY, server_key, 41);
      zmq_setsockopt(connection.socket, ZMQ_CURVE_PUBLICKEY, public_key, 41);
      zmq_setsockopt(connection.socket, ZMQ_CURVE_SECRETKEY, secret_key, 41);
    }
    MUSTER_CHECK(zmq_connect(connection.socket, argv[3]) == 0);
    // The handshake is not what is measured: a greeting goes there and back first.
    const auto hello = wire::build_header({wire::kProtocolVersion, 1, wire::Hello{}});
    MUSTER_CHECK(zmq_send(connection.socket, hello.data(), hello.size(), 0) >= 0);
    char reply[512];
    MUSTER_CHECK(zmq_recv(connection.socket, reply, sizeof reply, 0) >= 0);
    for (std::size_t k = i; k < count; k += connections.size())
      connection.headers.push_back(traffic_header(payload, k + 1));
  }
  if (keys != nullptr) std::fclose(keys);
  say('r');
  char go = 0;
  MUSTER_CHECK(::read(STDIN_FILENO, &go, 1) == 1);

  std::size_t receipts = 0, sent = 0;
  std::vector<zmq_pollitem_t> items;
  for (const Connection& connection : connections)
    items.push_back({connection.socket, 0, ZMQ_POLLIN, 0});
  while (windowed ? receipts < count : sent < count) {
    bool progress = false;
    for (Connection& connection : connections) {
      const std::size_t before = connection.receipts;
      if (windowed) take_replies(connection);
      receipts += connection.receipts - before;
      // Bursts keep the pipes full without a system call per message.
      const auto more = [&] {
        return !connection.again.empty() ||
               (connection.sent < connection.headers.size() &&
                (!windowed || connection.sent - connection.receipts < window));
      };
      for (int burst = 0; burst < 16 && more(); ++burst) {
        send_next(connection, payload);
        ++sent;
        progress = true;
      }
    }
    if (!progress && windowed) zmq_poll(items.data(), static_cast<int>(items.size()), 100);
  }
  say('d');
  (void)!::read(STDIN_FILENO, &go, 1);  // until the other side is done with us
  for (const Connection& connection : connections) zmq_close(connection.socket);
  zmq_ctx_term(context);
  return 0;
}

}  // namespace muster::bench
