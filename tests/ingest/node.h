// A Service over a fake spool, and raw devices that talk to it: real sockets on loopback.
#pragma once

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingest/service.h"
#include "ingest/socket.h"
#include "tests/ingest/fixture.h"

namespace muster::ingest {

/// How long a test waits for what must come; never for what must not.
inline constexpr int kPatienceMs = 20'000;

class TestNode {
 public:
  explicit TestNode(ServiceOptions options = {}, std::size_t slots = 64,
                    std::size_t slot_bytes = 1024 * 1024 + 192);
  ~TestNode();

  std::string endpoint() const { return service->endpoints().at(0); }
  /// Next arrival, or none for kPatienceMs.
  std::optional<Arrival> next();
  /// Value of a counter or gauge.
  double metric(const std::string& name, const std::string& label = "") const;
  /// Waits until the metric is at least `value`.
  bool await_metric(const std::string& name, const std::string& label, double value) const;

  Stats stats;
  KeyRing keys;
  Slab slab;
  FakeSpool spool;
  BoundedQueue<Arrival> arrivals;
  SystemClock clock;
  std::promise<Status> fault;
  KeyPair server_key = new_key_pair();
  Status started;
  std::unique_ptr<Service> service;

 private:
  std::vector<Arrival> buffer_;
};

/// A DEALER. `identity` null: plain.
class RawDevice {
 public:
  RawDevice(const TestNode& node, const KeyPair* identity);
  ~RawDevice();
  RawDevice(const RawDevice&) = delete;
  RawDevice& operator=(const RawDevice&) = delete;

  void send(const Frames& message);
  /// The next message within the patience.
  std::optional<wire::Message> receive(int patience_ms = kPatienceMs);
  ConstBytes payload() const { return payload_; }
  /// Sends and receives.
  std::optional<wire::Message> ask(const Frames& message) {
    send(message);
    return receive();
  }
  /// Whether the connection ends within the patience.
  bool await_end();
  void* socket() { return socket_.get(); }

 private:
  Context context_;
  Socket socket_;
  Socket monitor_;
  std::vector<std::byte> payload_;
};

}  // namespace muster::ingest
