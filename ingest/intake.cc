#include "ingest/intake.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/intake_state.h"

namespace muster::ingest {
namespace {

using wire::Reason;

/// What a refusal repeats of the message it answers.
wire::Refusal refusal_to(const wire::Message& message) {
  wire::Refusal refusal;
  if (const auto* const submit = std::get_if<wire::Submit>(&message.body)) {
    refusal.task = submit->task;
    refusal.round = submit->round;
    refusal.nonce = submit->nonce;
    refusal.chunk = submit->chunk;
    refusal.device = submit->device;
  } else if (const auto* const query = std::get_if<wire::QueryMissing>(&message.body)) {
    refusal.task = query->task;
    refusal.round = query->round;
    refusal.nonce = query->nonce;
    refusal.device = query->device;
  } else if (const auto* const fetch = std::get_if<wire::FetchModel>(&message.body)) {
    refusal.task = fetch->task;
    refusal.chunk = fetch->chunk;
  } else if (const auto* const check_in = std::get_if<wire::CheckIn>(&message.body)) {
    refusal.device = check_in->device;
  }
  return refusal;
}

}  // namespace

Intake::Intake(SlotPool& slots, const NodeSecret& secret, Stats& stats)
    : state_(std::make_unique<State>(slots, secret, stats)) {}
Intake::~Intake() = default;

std::size_t Intake::round_bytes(std::uint32_t max_updates, std::uint32_t chunk_count) {
  return RoundTable::bytes(max_updates, chunk_count);
}

void Intake::open_round(RoundSpec spec, std::span<const RecordHeader> recovered) {
  MUSTER_CHECK(spec.model != nullptr && spec.model->values.size() == spec.dimension);
  MUSTER_CHECK(spec.chunk_coordinates > 0 &&
               spec.chunk_count ==
                   divide_up(spec.dimension, std::uint64_t{spec.chunk_coordinates}));
  MUSTER_CHECK_OP(record_bytes(payload_bytes(spec.format, spec.coordinates_of(0))), <=,
                  state_->slots.slot_bytes());
  MUSTER_CHECK(is_sound(spec.format));
  if (has_shared_scales(spec.format.codec)) {
    const std::uint64_t block = std::uint64_t{1} << spec.format.log2_block;
    MUSTER_CHECK(spec.chunk_count == 1 || spec.chunk_coordinates % block == 0);
    MUSTER_CHECK_OP(spec.scale_exponents.size(), ==, divide_up(spec.dimension, block));
  }
  TaskBook& book = state_->tasks.get(spec.task, spec.task_name);
  MUSTER_CHECK(book.open() == nullptr && book.find(spec.round) == nullptr);
  book.newest = std::max(book.newest, spec.round);
  book.buffered = spec.buffered;
  if (book.served.model() != spec.model) book.served = ServedModel(spec);
  auto table = std::make_unique<RoundTable>(std::move(spec));
  std::uint64_t misfits = 0;
  for (const RecordHeader& record : recovered) misfits += !table->recover(record);
  if (misfits > 0)
    log_warning("recovered_misfits", "records of the round that do not fit into it were left out",
                {{"task", book.name}, {"round", table->spec().round}, {"records", misfits}});
  book.rounds.push_back(std::move(table));
}

bool Intake::close_round(TaskId task, RoundNumber round) {
  TaskBook* const book = state_->tasks.find(task);
  RoundTable* const table = book == nullptr ? nullptr : book->find(round);
  if (table == nullptr) return true;
  table->closed = true;
  return table->pending == 0;
}

void Intake::remember_sealed(TaskId task, const std::string& task_name, SealedRound round) {
  TaskBook& book = state_->tasks.get(task, task_name);
  book.newest = std::max(book.newest, round.round);
  std::sort(round.ids.begin(), round.ids.end());
  std::erase_if(book.sealed, [&](const SealedRound& known) { return known.round == round.round; });
  book.sealed.push_back(std::move(round));
}

void Intake::forget_round(TaskId task, RoundNumber round) {
  TaskBook* const book = state_->tasks.find(task);
  if (book == nullptr) return;
  std::erase_if(book->sealed, [&](const SealedRound& known) { return known.round == round; });
  RoundTable* const table = book->find(round);
  if (table == nullptr) return;
  table->closed = true;
  table->forgotten = true;
  if (table->pending == 0) book->remove(round);
}

Verdict Intake::on_message(const Peer& peer, std::span<const ConstBytes> frames, Nanoseconds now,
                           const Pressure& pressure) {
  const wire::Parsed parsed = wire::parse_frames(frames);
  const State::Inquiry inquiry{peer, parsed.message, frames.size() > 1 ? frames[1] : ConstBytes(),
                               now, pressure};
  if (!parsed.ok()) return state_->refuse(inquiry, parsed.reason);
  if (std::holds_alternative<wire::Submit>(parsed.message.body)) state_->stats.received.add();
  switch (peer.key.state) {
    case KeyState::kEnrolled:
      break;
    case KeyState::kUnknown:
      return state_->refuse(inquiry, Reason::kNotEnrolled);
    case KeyState::kRevoked:
      return state_->refuse(inquiry, Reason::kRevoked);
  }
  return std::visit([&](const auto& body) { return state_->on(inquiry, body); },
                    parsed.message.body);
}

Verdict Intake::State::answer(const Inquiry& inquiry, wire::Body body) const {
  Verdict verdict;
  verdict.reply.emplace();
  verdict.reply->routing_id = inquiry.peer.routing_id;
  verdict.reply->message.request = inquiry.message.request;
  verdict.reply->message.body = std::move(body);
  return verdict;
}

Verdict Intake::State::refuse(const Inquiry& inquiry, Reason reason) {
  const wire::ReasonText& text = wire::describe(reason);
  wire::Refusal refusal = refusal_to(inquiry.message);
  refusal.reason = reason;
  refusal.retry_ms = text.retry ? inquiry.pressure.retry_ms : 0;
  stats.rejected_for(reason).add();
  log(text.retry || reason == Reason::kDuplicate ? LogLevel::kDebug : LogLevel::kInfo, "refused",
      text.sentence,
      {{"reason", text.token},
       {"task", refusal.task},
       {"round", refusal.round},
       {"chunk", refusal.chunk}});
  return answer(inquiry, refusal);
}

Verdict Intake::State::put_off(const Inquiry& inquiry, Reason reason) {
  stats.put_off.add();
  return answer(inquiry, wire::RetryAfter{inquiry.pressure.retry_ms, reason});
}

Verdict Intake::State::receipt_again(const Inquiry& inquiry, wire::Receipt receipt) const {
  stats.duplicates.add();
  return answer(inquiry, std::move(receipt));
}

void Intake::on_durable(std::span<const SlotIndex> slots, Nanoseconds now,
                        std::vector<Reply>& replies,
                        std::vector<std::pair<TaskId, RoundNumber>>& drained) {
  std::vector<DueReceipt>& due = state_->due;
  IntakeStats& stats = state_->stats;
  for (const SlotIndex slot : slots) {
    PendingChunk& chunk = state_->pending[slot];
    RoundTable& table = *chunk.table;
    const RoundSpec& spec = table.spec();
    if (table.set_durable(chunk.update, chunk.chunk)) {
      stats.receipt_seconds.observe(static_cast<double>(now - chunk.received) / kSecond);
      const UpdateEntry& entry = table.entry(chunk.update);
      due.push_back({std::move(chunk.routing_id),
                     spec.task,
                     entry.trained_in,
                     {entry.id, entry.nonce, chunk.device},
                     spec.ledger});
    }
    chunk.table = nullptr;
    if (chunk.returned) state_->slots.give_back(slot);
    if (table.closed && table.pending == 0) {
      drained.emplace_back(spec.task, spec.round);
      if (table.forgotten) chunk.book->remove(spec.round);
    }
  }
  stats.accepted.add(due.size());
  stats.receipt_seconds.flush();
  // One message per peer and round, not one per update.
  std::stable_sort(due.begin(), due.end(), [](const DueReceipt& a, const DueReceipt& b) {
    return std::tie(a.routing_id, a.task, a.round) < std::tie(b.routing_id, b.task, b.round);
  });
  for (std::size_t i = 0; i < due.size();) {
    wire::Receipt receipt{due[i].task, due[i].round, {}, due[i].ledger};
    std::size_t end = i;
    while (end < due.size() && end - i < limits::kReceiptsPerMessage &&
           due[i].same_message(due[end]))
      receipt.entries.push_back(due[end++].entry);
    Reply& reply = replies.emplace_back();
    reply.routing_id = due[i].routing_id;
    reply.message.body = std::move(receipt);
    i = end;
  }
  due.clear();
}

}  // namespace muster::ingest
