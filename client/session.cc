#include "client/session.h"

#include <algorithm>
#include <random>
#include <utility>

namespace muster::client {
namespace {

std::uint64_t system_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

Status timeout() {
  return {Code::kUnavailable, "timeout",
          "the server did not answer; is it running and reachable, and is its key the one given?"};
}

Status turned_away() {
  return {Code::kForbidden, "connection",
          "the server refused the connection: this key is not enrolled, or was revoked"};
}

}  // namespace

Nanoseconds wait_of(std::uint32_t retry_ms, const ClientOptions& options) {
  return std::min(Nanoseconds{retry_ms} * kMillisecond, options.back_off_limit);
}

Status refused(wire::Reason reason) {
  if (reason == wire::Reason::kOk)
    return {Code::kInternal, "protocol", "the server refused without a reason"};
  return wire::to_status(reason);
}

Result<std::unique_ptr<Session>> Session::open(const ClientOptions& options) {
  if (options.attempts < 1 || options.reply_timeout <= 0)
    return Status(Code::kInvalid, "client_options", "attempts and reply_timeout must be positive");
  MUSTER_ASSIGN(auto connection, Connection::open(options));
  const std::uint64_t seed = options.seed != 0 ? options.seed : system_seed();
  return std::unique_ptr<Session>(new Session(options, std::move(connection), seed));
}

std::uint32_t Session::next_request() {
  if (++last_request_ == 0) ++last_request_;
  return last_request_;
}

Status Session::send(std::uint32_t request, wire::Body body, ConstBytes payload) {
  wire::Message message;
  message.request = request;
  message.body = std::move(body);
  const Event event = connection_->send(message, payload, options_.reply_timeout);
  if (event == Event::kRefused) return turned_away();
  return event == Event::kSent ? Status() : timeout();
}

Result<Event> Session::receive(Nanoseconds wait, Incoming& out) {
  const Event event = connection_->receive(wait, out);
  if (event == Event::kRefused) return turned_away();
  if (event == Event::kDisconnected) greeted_ = false;
  return event;
}

Status Session::pause(Nanoseconds wait) {
  const Nanoseconds end = now() + wait;
  Incoming dropped;
  for (Nanoseconds left = wait; left > 0; left = end - now()) {
    MUSTER_TRY(receive(left, dropped).status());
  }
  return {};
}

Result<Incoming> Session::ask(const wire::Body& body) {
  const std::uint32_t request = next_request();
  Persistence persistence(options_);
  for (;;) {
    MUSTER_TRY(send(request, body));
    const Nanoseconds end = now() + options_.reply_timeout;
    for (Nanoseconds left = options_.reply_timeout; left > 0; left = end - now()) {
      Incoming reply;
      MUSTER_ASSIGN(const Event event, receive(left, reply));
      if (event == Event::kMessage && reply.message.request == request) return reply;
      if (event == Event::kDisconnected) break;
    }
    const auto wait = persistence.again(random_);
    if (!wait) return timeout();
    MUSTER_TRY(pause(*wait));
  }
}

Status Session::greet() {
  if (greeted_) return {};
  MUSTER_ASSIGN(const Incoming reply, ask(wire::Hello{}));
  if (const auto* refusal = std::get_if<wire::Refusal>(&reply.message.body))
    return refused(refusal->reason);
  const auto* welcome = std::get_if<wire::Welcome>(&reply.message.body);
  if (welcome == nullptr || welcome->protocol != wire::kProtocolVersion)
    return refused(wire::Reason::kProtocolVersion);
  greeted_ = true;
  return {};
}

}  // namespace muster::client
