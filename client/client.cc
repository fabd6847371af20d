#include "client/client.h"

#include <algorithm>
#include <string>
#include <utility>

#include "client/download.h"
#include "client/plan.h"
#include "client/session.h"
#include "client/upload.h"

namespace muster::client {
namespace {

class SocketClient final : public Client {
 public:
  explicit SocketClient(std::unique_ptr<Session> session) : session_(std::move(session)) {}

  Result<wire::Assignment> join(const std::string& task, Nanoseconds patience) override {
    const Nanoseconds end = session_->now() + patience;
    for (;;) {
      MUSTER_TRY(session_->greet());
      MUSTER_ASSIGN(Incoming reply, session_->ask(wire::CheckIn{task, session_->options().device}));
      wire::Body& body = reply.message.body;
      if (auto* assignment = std::get_if<wire::Assignment>(&body)) {
        MUSTER_TRY(check_assignment(*assignment));
        return std::move(*assignment);
      }
      std::uint32_t retry_ms = 0;
      wire::Reason reason = wire::Reason::kOk;
      if (const auto* later = std::get_if<wire::RetryAfter>(&body)) {
        // A wait of 0 would be a busy loop; a server means "soon".
        retry_ms = std::max(later->retry_ms, 1U);
        reason = later->reason;
      } else if (const auto* refusal = std::get_if<wire::Refusal>(&body)) {
        retry_ms = refusal->retry_ms;
        reason = refusal->reason;
      }
      const Nanoseconds left = end - session_->now();
      if (retry_ms == 0 || left <= 0) return refused(reason);
      // Up to a tenth more than asked for: those sent away together do not come back together.
      const auto wait = static_cast<Nanoseconds>(static_cast<double>(retry_ms) * kMillisecond *
                                                 (1 + 0.1 * session_->random().uniform()));
      MUSTER_TRY(session_->pause(std::min(wait, left)));
      if (wait >= left) return refused(reason);
    }
  }

  Result<std::vector<float>> fetch(const wire::Assignment& assignment) override {
    MUSTER_TRY(check_assignment(assignment));
    MUSTER_TRY(session_->greet());
    return Download(*session_, assignment).run();
  }

  Result<Receipt> submit(const wire::Assignment& assignment, const EncodedUpdate& update,
                         std::uint32_t weight, std::uint64_t nonce) override {
    MUSTER_TRY(check_assignment(assignment));
    bool fits = update.chunks.size() == chunk_count(assignment);
    for (std::uint32_t chunk = 0; fits && chunk < update.chunks.size(); ++chunk)
      fits = is_payload_length(assignment.format, coordinates_of(assignment, chunk),
                               update.chunks[chunk].size());
    if (!fits)
      return Status(Code::kInvalid, "wrong_dimension",
                    "the update was not encoded for this assignment");
    MUSTER_TRY(session_->greet());
    while (nonce == 0) nonce = session_->random().next();
    return Upload(*session_, assignment, update, weight, nonce).run();
  }

 private:
  std::unique_ptr<Session> session_;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::connect(const ClientOptions& options) {
  MUSTER_ASSIGN(auto session, Session::open(options));
  return std::unique_ptr<Client>(std::make_unique<SocketClient>(std::move(session)));
}

}  // namespace muster::client
