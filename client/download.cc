#include "client/download.h"

#include <algorithm>
#include <cstring>

#include "client/plan.h"

namespace muster::client {
namespace {

/// Chunks asked for and not yet here. Servers keep 16 replies a device (ingest/socket.cc); half of
/// them hides the round trip and none is dropped.
constexpr std::uint32_t kWindow = 8;

}  // namespace

Download::Download(Session& session, const wire::Assignment& assignment)
    : session_(session),
      assignment_(assignment),
      persistence_(session.options()),
      model_(assignment.dimension),
      states_(chunk_count(assignment), State::kWanted) {}

Result<std::vector<float>> Download::run() {
  while (here_ < states_.size()) {
    MUSTER_TRY(ask_for_more());
    Incoming reply;
    MUSTER_ASSIGN(const Event event, session_.receive(session_.options().reply_timeout, reply));
    if (event == Event::kMessage) {
      MUSTER_ASSIGN(const bool forward, take(reply));
      if (forward) persistence_.progress();
      continue;
    }
    MUSTER_TRY(start_again({Code::kUnavailable, "timeout", "the server sends no model"}));
    MUSTER_TRY(session_.greet());
  }
  return std::move(model_);
}

Status Download::ask_for_more() {
  for (; asked_ < kWindow && next_ < states_.size(); ++next_) {
    if (states_[next_] != State::kWanted) continue;
    MUSTER_TRY(session_.send(session_.next_request(),
                             wire::FetchModel{assignment_.task, assignment_.model_version, next_}));
    states_[next_] = State::kAsked;
    ++asked_;
  }
  return {};
}

Result<bool> Download::take(const Incoming& reply) {
  if (const auto* refusal = std::get_if<wire::Refusal>(&reply.message.body)) {
    if (refusal->task != 0 && refusal->task != assignment_.task) return false;
    const Status why = refused(refusal->reason);
    if (refusal->retry_ms == 0) return why;
    MUSTER_TRY(session_.pause(wait_of(refusal->retry_ms, session_.options())));
    MUSTER_TRY(start_again(why));
    return false;
  }
  const auto* chunk = std::get_if<wire::ModelChunk>(&reply.message.body);
  if (chunk == nullptr || chunk->task != assignment_.task ||
      chunk->version != assignment_.model_version || chunk->chunk >= states_.size() ||
      states_[chunk->chunk] == State::kHere)
    return false;
  const std::size_t bytes = std::size_t{coordinates_of(assignment_, chunk->chunk)} * sizeof(float);
  if (chunk->chunk_count != states_.size() || reply.payload.size() != bytes)
    return Status(Code::kInvalid, "protocol", "the server's model has other chunks than announced");
  State& state = states_[chunk->chunk];
  if (state == State::kAsked) --asked_;
  if (checksum(reply.payload) != chunk->checksum) {
    state = State::kWanted;
    next_ = std::min(next_, chunk->chunk);
    if (!persistence_.again(session_.random()))
      return Status(Code::kCorrupt, "checksum_mismatch",
                    "the model arrives damaged again and again");
    return false;
  }
  std::memcpy(model_.data() + std::size_t{chunk->chunk} * assignment_.chunk_coordinates,
              reply.payload.data(), bytes);
  state = State::kHere;
  ++here_;
  return true;
}

Status Download::start_again(Status why) {
  const auto wait = persistence_.again(session_.random());
  if (!wait) return why;
  for (State& state : states_)
    if (state == State::kAsked) state = State::kWanted;
  asked_ = 0;
  next_ = 0;
  return session_.pause(*wait);
}

}  // namespace muster::client
