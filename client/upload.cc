#include "client/upload.h"

#include <algorithm>

#include "client/plan.h"

namespace muster::client {
namespace {

/// Chunks sent before asking what arrived: at 64 KiB a chunk 2 MiB are on the way, which hides the
/// round trip and keeps one device from filling a slab.
constexpr std::uint32_t kBurst = 32;

}  // namespace

Upload::Upload(Session& session, const wire::Assignment& assignment, const EncodedUpdate& update,
               std::uint32_t weight, std::uint64_t nonce)
    : session_(session),
      assignment_(assignment),
      update_(update),
      weight_(weight),
      nonce_(nonce),
      device_(session.options().device),
      persistence_(session.options()),
      to_go_(update.chunks.size(), true),
      to_go_count_(static_cast<std::uint32_t>(update.chunks.size())),
      fewest_missing_(to_go_count_) {}

Result<Receipt> Upload::run() {
  for (;;) {
    MUSTER_TRY(send_burst());
    const Nanoseconds held = std::max<Nanoseconds>(hold_until_ - session_.now(), 0);
    const bool holding = to_go_count_ > 0 && query_ == 0;
    Incoming reply;
    MUSTER_ASSIGN(const Event event,
                  session_.receive(holding ? held : session_.options().reply_timeout, reply));
    if (event == Event::kSilence && holding) continue;
    if (event != Event::kMessage) {
      MUSTER_TRY(resume());
      continue;
    }
    const wire::Body& body = reply.message.body;
    if (const auto* receipt = std::get_if<wire::Receipt>(&body)) {
      if (const auto mine = find(*receipt)) return *mine;
    } else if (const auto* missing = std::get_if<wire::MissingChunks>(&body)) {
      if (query_ != 0 && reply.message.request == query_) MUSTER_TRY(take(*missing));
    } else if (const auto* refusal = std::get_if<wire::Refusal>(&body)) {
      if (reply.message.request == query_) query_ = 0;
      MUSTER_TRY(take(*refusal));
    }
  }
}

Status Upload::send_burst() {
  if (to_go_count_ == 0 || query_ != 0 || session_.now() < hold_until_) return {};
  std::uint32_t sent = 0;
  for (std::uint32_t chunk = 0; chunk < to_go_.size() && sent < kBurst; ++chunk) {
    if (!to_go_[chunk]) continue;
    MUSTER_TRY(send_chunk(chunk));
    to_go_[chunk] = false;
    --to_go_count_;
    ++sent;
  }
  return to_go_count_ > 0 ? query() : Status();
}

Status Upload::send_chunk(std::uint32_t chunk) {
  const auto& payload = update_.chunks[chunk];
  wire::Submit submit;
  submit.task = assignment_.task;
  submit.round = assignment_.round;
  submit.model_version = assignment_.model_version;
  submit.device = device_;
  submit.nonce = nonce_;
  submit.weight = weight_;
  submit.dimension = assignment_.dimension;
  submit.chunk = chunk;
  submit.chunk_count = static_cast<std::uint32_t>(update_.chunks.size());
  submit.coordinates = coordinates_of(assignment_, chunk);
  submit.codec = static_cast<std::uint8_t>(assignment_.format.codec);
  submit.log2_block = assignment_.format.log2_block;
  submit.payload_bytes = static_cast<std::uint32_t>(payload.size());
  submit.checksum = checksum(payload);
  submit.terms = assignment_.terms;
  return session_.send(session_.next_request(), submit, payload);
}

Status Upload::query() {
  query_ = session_.next_request();
  return session_.send(query_,
                       wire::QueryMissing{assignment_.task, assignment_.round, device_, nonce_});
}

std::optional<Receipt> Upload::find(const wire::Receipt& receipt) const {
  if (receipt.task != assignment_.task || receipt.round != assignment_.round) return std::nullopt;
  for (const wire::ReceiptEntry& entry : receipt.entries)
    if (entry.nonce == nonce_ && entry.device == device_)
      return Receipt{receipt.round, entry.update, receipt.ledger};
  return std::nullopt;
}

Status Upload::take(const wire::MissingChunks& missing) {
  query_ = 0;
  const auto chunks = static_cast<std::uint32_t>(to_go_.size());
  if (missing.chunk_count != chunks || missing.bitmap.size() < divide_up(chunks, 8U))
    return {Code::kInvalid, "protocol", "the server counts other chunks than announced"};
  std::uint32_t count = 0;
  for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) {
    to_go_[chunk] = (missing.bitmap[chunk / 8] >> chunk % 8 & 1) != 0;
    count += to_go_[chunk] ? 1 : 0;
  }
  // Fewer to go than a burst ago, or than before the silence: the attempts are ours again.
  if (count < fewest_missing_) persistence_.progress();
  fewest_missing_ = std::min(fewest_missing_, count);
  to_go_count_ = count;
  return {};
}

Status Upload::take(const wire::Refusal& refusal) {
  if (refusal.nonce != nonce_ && refusal.nonce != 0) return {};
  if (refusal.task != assignment_.task && refusal.task != 0) return {};
  // The chunk is there already; the receipt comes when all are.
  if (refusal.reason == wire::Reason::kDuplicate) return {};
  const Status why = refused(refusal.reason);
  if (refusal.retry_ms == 0) return why;
  const Nanoseconds wait = wait_of(refusal.retry_ms, session_.options());
  const Nanoseconds now = session_.now();
  // One pause a burst: the refusals of its other chunks speak of the same moment.
  if (now >= hold_until_) {
    const auto more = persistence_.again(session_.random());
    if (!more) return why;
    hold_until_ = now + std::max(wait, *more);
  }
  if (refusal.chunk < to_go_.size() && !to_go_[refusal.chunk]) {
    to_go_[refusal.chunk] = true;
    ++to_go_count_;
  }
  return {};
}

Status Upload::resume() {
  const auto wait = persistence_.again(session_.random());
  if (!wait) return {Code::kUnavailable, "timeout", "the server sends no receipt"};
  MUSTER_TRY(session_.pause(*wait));
  MUSTER_TRY(session_.greet());
  hold_until_ = 0;
  return query();
}

}  // namespace muster::client
