// A connection with manners: the greeting, request numbers, patience, and the errors of silence.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "client/back_off.h"
#include "client/client.h"
#include "client/connection.h"

namespace muster::client {

/// How often one thing may still be tried again. Progress gives the attempts back.
class Persistence {
 public:
  explicit Persistence(const ClientOptions& options)
      : attempts_(options.attempts), back_off_(options.back_off, options.back_off_limit) {}
  /// Uses one attempt up; the wait before the next, or nothing when there are no more.
  std::optional<Nanoseconds> again(Random& random) {
    if (++used_ >= attempts_) return std::nullopt;
    return back_off_.wait(random);
  }
  void progress() {
    used_ = 0;
    back_off_.reset();
  }

 private:
  int attempts_;
  int used_ = 0;
  BackOff back_off_;
};

/// What a refusal asks of a device: the wait it names, at most the device's own limit of patience.
Nanoseconds wait_of(std::uint32_t retry_ms, const ClientOptions& options);
/// The Status of a refusal by its reason, with the sentence and the remedy.
Status refused(wire::Reason reason);

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(const ClientOptions& options);

  const ClientOptions& options() const { return options_; }
  Random& random() { return random_; }
  Nanoseconds now() const { return clock_.now(); }

  /// A fresh request number; never 0.
  std::uint32_t next_request();
  /// Sends one message. kUnavailable / "timeout" if the network takes nothing for reply_timeout.
  Status send(std::uint32_t request, wire::Body body, ConstBytes payload = {});
  /// The next message, or what happened instead. kRefused comes as the error "connection".
  Result<Event> receive(Nanoseconds wait, Incoming& out);
  /// Lets `wait` pass; messages that come meanwhile answer nothing and are dropped.
  Status pause(Nanoseconds wait);

  /// Sends `body` until its direct reply comes; refusals are replies too. `deadline`: on now()'s
  /// clock. "timeout" when the attempts are used up.
  Result<Incoming> ask(const wire::Body& body);

  /// Hello and Welcome, once a connection. "protocol_version" if there is no common one.
  Status greet();

 private:
  Session(const ClientOptions& options, std::unique_ptr<Connection> connection, std::uint64_t seed)
      : options_(options), connection_(std::move(connection)), random_(seed) {}

  ClientOptions options_;
  std::unique_ptr<Connection> connection_;
  Random random_;
  SystemClock clock_;
  std::uint32_t last_request_ = 0;
  bool greeted_ = false;
};

}  // namespace muster::client
