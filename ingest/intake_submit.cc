// The way of a chunk from message to slot.
#include "ingest/intake_state.h"
#include "ingest/intake_verdict.h"

namespace muster::ingest {

using wire::Reason;

Verdict Intake::State::on(const Inquiry& inquiry, const wire::Submit& submit) {
  TaskBook* const book = tasks.find(submit.task);
  if (book == nullptr) return refuse(inquiry, Reason::kUnknownTask);
  const DeviceHash device = device_of(inquiry.peer, submit.device);
  RoundTable* const table = place_of(*book, submit.round, device, submit.nonce);
  if (table == nullptr)
    return on_other_round(inquiry, *book, submit.round, submit.device, submit.nonce);
  const Reason plan = judge_plan(submit, table->spec(), inquiry.peer.key.role);
  if (plan != Reason::kOk) return refuse(inquiry, table->closed ? Reason::kRoundClosed : plan);
  if (!table->closed && !table->find(device))
    if (const Reason kept = judge_participation(table->spec(), device); kept != Reason::kOk)
      return refuse(inquiry, kept);
  const Reason standing = judge_standing(standing_of(*table, submit, device, inquiry.pressure));
  if (standing == Reason::kOk) return admit(inquiry, submit, *book, *table, device);
  if (standing == Reason::kDuplicate) {
    const std::uint32_t update = *table->find(device);
    if (table->complete(update))
      return receipt_again(inquiry, {submit.task,
                                     submit.round,
                                     {{table->entry(update).id, submit.nonce, submit.device}},
                                     table->spec().ledger});
  }
  // Damage on the way must not be taken for a lie.
  if (standing == Reason::kEquivocation && checksum(inquiry.payload) != submit.checksum)
    return refuse(inquiry, Reason::kChecksumMismatch);
  return refuse(inquiry, standing);
}

Verdict Intake::State::admit(const Inquiry& inquiry, const wire::Submit& submit, TaskBook& book,
                             RoundTable& table, const DeviceHash& device) {
  const SlotIndex slot = take_slot();
  if (slot == kNoSlot) return refuse(inquiry, Reason::kSlabFull);
  const RoundSpec& spec = table.spec();
  const MutableBytes record = slots.bytes(slot);
  const MutableBytes payload = record.subspan(kRecordHeaderBytes, inquiry.payload.size());
  Reason reason = Reason::kOk;
  if (copy_with_checksum(payload, inquiry.payload) != submit.checksum) {
    reason = Reason::kChecksumMismatch;
  } else {
    reason = judge_values(spec, submit, payload);
  }
  if (reason != Reason::kOk) {
    slots.give_back(slot);
    return refuse(inquiry, reason);
  }
  // Only a chunk that passed everything makes an entry: nothing half-made can fill the cohort.
  auto update = table.find(device);
  if (!update)
    update = table.add(device, update_id(secret, submit.task, submit.round, device, submit.nonce),
                       submit.nonce, submit.round, submit.weight);
  table.admit(*update, submit.chunk, submit.checksum);

  RecordHeader header;
  header.version = spec.sealed ? kSealedRecord : kPlainRecord;
  header.codec = submit.codec;
  header.log2_block = submit.log2_block;
  header.payload_bytes = submit.payload_bytes;
  header.task = submit.task;
  header.round = spec.round;
  header.staleness = *spec.staleness_of(submit.round, submit.model_version);
  header.nonce = submit.nonce;
  header.update = table.entry(*update).id;
  header.device = device;
  header.chunk = submit.chunk;
  header.chunk_count = submit.chunk_count;
  header.coordinates = submit.coordinates;
  header.weight = submit.weight;
  header.payload_checksum = submit.checksum;
  store(record, 0, header);

  PendingChunk& chunk = pending[slot];
  chunk.book = &book;
  chunk.table = &table;
  chunk.update = *update;
  chunk.chunk = submit.chunk;
  chunk.device = submit.device;
  chunk.received = inquiry.now;
  chunk.routing_id = inquiry.peer.routing_id;
  chunk.returned = false;
  stats.bytes[submit.codec]->add(submit.payload_bytes);
  Verdict verdict;
  verdict.slot = slot;
  return verdict;
}

Reason Intake::State::judge_values(const RoundSpec& spec, const wire::Submit& submit,
                                   ConstBytes payload) {
  if (is_deflated(spec.format, submit.coordinates, payload.size())) {
    if (!inflater) inflater.emplace();
    inflated.resize(payload_bytes(spec.format, submit.coordinates));
    const Reason reason = inflater->inflate(payload, inflated);
    if (reason != Reason::kOk) return reason;
    payload = inflated;
  }
  std::span<const std::int8_t> exponents;
  if (has_shared_scales(spec.format.codec)) {
    const std::uint64_t block = std::uint64_t{1} << spec.format.log2_block;
    const std::uint64_t first = std::uint64_t{submit.chunk} * spec.chunk_coordinates / block;
    exponents = std::span(spec.scale_exponents)
                    .subspan(first, divide_up<std::uint64_t>(submit.coordinates, block));
  }
  const Reason reason =
      check_payload(spec.format, submit.coordinates, spec.value_bound, exponents, payload);
  // A private task's rule looks again, and takes what is not finite or in bound as zero.
  const bool of_values = reason == Reason::kScaleInvalid || reason == Reason::kValueNotFinite ||
                         reason == Reason::kCoordinateOutOfBound;
  return spec.discreet && of_values ? Reason::kOk : reason;
}

Verdict Intake::State::on_other_round(const Inquiry& inquiry, TaskBook& book, RoundNumber round,
                                      std::uint64_t device, std::uint64_t nonce) {
  if (round > book.newest || round == 0) return refuse(inquiry, Reason::kRoundUnknown);
  if (may_speak_for(inquiry.peer, device)) {
    const UpdateId id = update_id(secret, book.id, round, device_of(inquiry.peer, device), nonce);
    if (const SealedRound* const known = book.counted(id))
      return receipt_again(inquiry, {book.id, round, {{id, nonce, device}}, known->ledger});
  }
  if (!book.buffered) return refuse(inquiry, Reason::kRoundClosed);
  // Between two rounds of a buffered task an update only has to wait a moment.
  return refuse(inquiry,
                book.open() == nullptr ? Reason::kNoOpenRound : Reason::kModelVersionStale);
}

RoundTable* Intake::State::place_of(TaskBook& book, RoundNumber trained_in,
                                    const DeviceHash& device, std::uint64_t nonce) const {
  if (!book.buffered) return book.find(trained_in);
  return book.find_place(trained_in, device, update_id(secret, book.id, trained_in, device, nonce));
}

SlotIndex Intake::State::take_slot() {
  while (const auto slot = slots.take()) {
    if (pending[*slot].table == nullptr) return *slot;
    pending[*slot].returned = true;
  }
  return kNoSlot;
}

}  // namespace muster::ingest
