// One DEALER socket: messages out and in, and what befalls the connection. Knows no protocol.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "client/client.h"

namespace muster::client {

/// A message from the server. The payload is empty where the kind has none.
struct Incoming {
  wire::Message message;
  std::vector<std::byte> payload;
};

/// What a call came back with.
enum class Event : std::uint8_t {
  kSent,
  kMessage,
  kSilence,       ///< the time is over
  kDisconnected,  ///< the connection broke; libzmq is building a new one
  kRefused,       ///< the server does not take our key
};

class Connection {
 public:
  static Result<std::unique_ptr<Connection>> open(const ClientOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Queues one message; waits up to `wait` for room behind a slow network. kSent, kRefused, or
  /// kSilence: no room came.
  Event send(const wire::Message& message, ConstBytes payload, Nanoseconds wait);
  /// Waits up to `wait`. Frames that are no message of the protocol are dropped.
  Event receive(Nanoseconds wait, Incoming& out);

 private:
  Connection() = default;
  Status start(const ClientOptions& options);
  /// Waits for `events` on the socket, or for the monitor.
  void poll(short events, Nanoseconds wait);
  /// Notes what the socket's monitor has to say.
  void watch();
  /// The next message on the socket, if there is one. Reads whole messages, however many frames.
  bool take(Incoming& out);

  std::unique_ptr<Transport> own_transport_;
  void* socket_ = nullptr;
  void* monitor_ = nullptr;
  bool disconnected_ = false;  ///< and not yet reported
  bool refused_ = false;       ///< for good: libzmq does not knock again
  SystemClock clock_;
};

}  // namespace muster::client
