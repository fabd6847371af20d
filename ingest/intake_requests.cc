// Everything a device asks for but storing a chunk.
#include <algorithm>

#include "ingest/intake_state.h"
#include "ingest/intake_verdict.h"

namespace muster::ingest {

using wire::Reason;

namespace {

std::uint32_t milliseconds_until(Nanoseconds deadline, Nanoseconds now) {
  const Nanoseconds left = std::max<Nanoseconds>((deadline - now) / kMillisecond, 1);
  return static_cast<std::uint32_t>(std::min<Nanoseconds>(left, ~std::uint32_t{0}));
}

}  // namespace

Verdict Intake::State::on(const Inquiry& inquiry, const wire::Hello& hello) {
  if (hello.protocol == 0) return refuse(inquiry, Reason::kProtocolVersion);
  const std::uint16_t common = std::min(hello.protocol, wire::kProtocolVersion);
  return answer(inquiry, wire::Welcome{common, "musterd " MUSTER_VERSION});
}

Verdict Intake::State::on(const Inquiry& inquiry, const wire::CheckIn& check_in) {
  TaskBook* const book = tasks.find(check_in.task);
  if (book == nullptr) return refuse(inquiry, Reason::kUnknownTask);
  if (!may_speak_for(inquiry.peer, check_in.device)) return refuse(inquiry, Reason::kNotGateway);
  if (inquiry.pressure.storage_fault) return put_off(inquiry, Reason::kStorageFault);
  if (inquiry.pressure.draining) return put_off(inquiry, Reason::kDraining);
  if (inquiry.pressure.disk_low) return put_off(inquiry, Reason::kDiskLow);
  RoundTable* const table = book->open();
  if (table == nullptr) return put_off(inquiry, Reason::kNoOpenRound);
  const RoundSpec& spec = table->spec();
  if (spec.deadline != 0 && inquiry.now >= spec.deadline)
    return put_off(inquiry, Reason::kNoOpenRound);
  const DeviceHash device = device_of(inquiry.peer, check_in.device);
  const auto update = table->find(device);
  // Its part of this round is done; the next one is not open yet.
  if (update && table->entry(*update).admitted == spec.chunk_count)
    return put_off(inquiry, Reason::kNoOpenRound);
  if (!update) {
    const Reason kept = judge_participation(spec, device);
    if (kept == Reason::kParticipationsSpent) return refuse(inquiry, kept);
    if (kept != Reason::kOk) return put_off(inquiry, kept);
  }
  if ((!update && table->full()) || !table->assign(device))
    return put_off(inquiry, Reason::kCohortFull);
  stats.assigned.add();
  wire::Assignment assignment;
  assignment.task = spec.task;
  assignment.round = spec.round;
  assignment.model_version = spec.model->version;
  assignment.dimension = spec.dimension;
  assignment.chunk_coordinates = spec.chunk_coordinates;
  assignment.format = spec.format;
  assignment.scale_exponents = spec.scale_exponents;
  assignment.codec_seed = spec.codec_seed;
  assignment.clip_norm = spec.clip_norm;
  assignment.value_bound = spec.value_bound;
  assignment.max_weight = spec.max_weight;
  assignment.deadline_ms = spec.deadline == 0 ? 0 : milliseconds_until(spec.deadline, inquiry.now);
  assignment.terms = spec.terms;
  return answer(inquiry, std::move(assignment));
}

Verdict Intake::State::on(const Inquiry& inquiry, const wire::FetchModel& fetch) {
  TaskBook* const book = tasks.find(fetch.task);
  if (book == nullptr) return refuse(inquiry, Reason::kUnknownTask);
  ServedModel& served = book->served;
  if (served.model() == nullptr || served.model()->version != fetch.version)
    return refuse(inquiry, Reason::kModelUnknown);
  if (fetch.chunk >= served.chunk_count()) return refuse(inquiry, Reason::kChunkOutOfRange);
  Verdict verdict =
      answer(inquiry, wire::ModelChunk{fetch.task, fetch.version, fetch.chunk, served.chunk_count(),
                                       served.checksum_of(fetch.chunk)});
  verdict.reply->model = served.model();
  verdict.reply->payload = served.chunk(fetch.chunk);
  return verdict;
}

Verdict Intake::State::on(const Inquiry& inquiry, const wire::QueryMissing& query) {
  TaskBook* const book = tasks.find(query.task);
  if (book == nullptr) return refuse(inquiry, Reason::kUnknownTask);
  const DeviceHash device = device_of(inquiry.peer, query.device);
  RoundTable* const table = place_of(*book, query.round, device, query.nonce);
  if (table == nullptr)
    return on_other_round(inquiry, *book, query.round, query.device, query.nonce);
  if (query.nonce == 0) return refuse(inquiry, Reason::kNonceZero);
  if (!may_speak_for(inquiry.peer, query.device)) return refuse(inquiry, Reason::kNotGateway);
  const std::uint32_t chunk_count = table->spec().chunk_count;
  const auto update = table->find(device);
  const bool mine = update && table->entry(*update).nonce == query.nonce;
  if (mine && table->complete(*update))
    return receipt_again(inquiry, {query.task,
                                   query.round,
                                   {{table->entry(*update).id, query.nonce, query.device}},
                                   table->spec().ledger});
  if (table->closed && !(mine && table->entry(*update).admitted == chunk_count))
    return refuse(inquiry, Reason::kRoundClosed);
  if (update && !mine) return refuse(inquiry, Reason::kSecondUpdate);
  wire::MissingChunks missing{query.task, query.round, query.nonce, chunk_count, {}};
  missing.bitmap.resize(divide_up(chunk_count, 8u));
  // A chunk on its way to disk needs no resend: the receipt follows, or this process ends.
  for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk)
    if (!mine || table->state(*update, chunk) == ChunkState::kAbsent)
      missing.bitmap[chunk / 8] =
          static_cast<std::uint8_t>(missing.bitmap[chunk / 8] | 1u << chunk % 8);
  return answer(inquiry, std::move(missing));
}

}  // namespace muster::ingest
