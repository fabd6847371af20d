// The life of a task's rounds: taken up at start, opened, filled, sealed, aggregated, released,
// shredded.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/check.h"
#include "base/hex.h"
#include "base/log.h"
#include "server/secrets.h"
#include "server/task.h"
#include "server/task_metrics.h"

namespace muster::server {
namespace {

Sha256 hash_ids(std::span<const UpdateId> ids) { return ingest::sha256(std::as_bytes(ids)); }

struct UpdateIdHash {
  std::size_t operator()(const UpdateId& id) const { return id.low; }
};

}  // namespace

Status Task::resume(std::vector<RecoveredRecord> records) {
  MUSTER_ASSIGN(const auto versions, parts_.control.models(row_.id));
  if (versions.empty()) {
    MUSTER_ASSIGN(const Sha256 hash, parts_.models.save(row_.name, 0, layout_, state_));
    MUSTER_TRY(parts_.control.add_model(
        {row_.id, 0, ModelStore::file_name(row_.name, 0), hash, parts_.clock.wall_ms()}));
  }
  MUSTER_ASSIGN(std::optional<RoundRow> latest, parts_.control.latest_round(row_.id));
  MUSTER_ASSIGN(const auto history, parts_.control.rounds(row_.id, ~std::size_t{0} >> 1));
  rounds_done_ = static_cast<std::uint64_t>(
      std::count_if(history.begin(), history.end(), [](const RoundRow& row) {
        return row.state == RoundState::kReleased || row.state == RoundState::kShredded;
      }));
  if (!latest) return open_next();
  // Earlier rounds, for devices that never saw their receipt.
  for (RoundNumber back = 1; back <= remembered_rounds() && back < latest->round; ++back) {
    MUSTER_ASSIGN(std::optional<RoundRow> before,
                  parts_.control.round(row_.id, latest->round - back));
    if (before && !before->sealed.empty()) MUSTER_TRY(remember_sealed(*before));
  }
  if (privacy_ && latest->state != RoundState::kShredded && latest->state != RoundState::kAbandoned)
    MUSTER_TRY(privacy_->resume(latest->round));
  if (latest->state == RoundState::kOpen) {
    const bool overtaken = latest->model_version != version_;  // by an import
    MUSTER_TRY(open(std::move(*latest), records));
    return overtaken ? carry_out(round_->on(RoundEvent::kAbortRequested, opened_)) : Status();
  }
  if (!latest->sealed.empty()) MUSTER_TRY(remember_sealed(*latest));
  round_row_ = std::move(*latest);
  take_up();
  switch (round_row_.state) {
    case RoundState::kSealed:
    case RoundState::kAggregated: {
      // The aggregate lived in memory only. The sealed set is on disk and the rule is a pure
      // function of it: compute it again, and hold it against the hash if one was recorded.
      const std::unordered_set<UpdateId, UpdateIdHash> sealed(round_row_.sealed.begin(),
                                                              round_row_.sealed.end());
      std::erase_if(records, [&](const RecoveredRecord& record) {
        return !sealed.contains(record.header.update);
      });
      round_ = Round::resumed(policy(), RoundPhase::kAggregating);
      MUSTER_TRY(feed(records));
      return carry_out(RoundDuty::kAggregate);
    }
    case RoundState::kReleased:
      round_ = Round::resumed(policy(), RoundPhase::kShredding);
      return carry_out(RoundDuty::kShred);
    default:
      return open_next();
  }
}

Status Task::open_next() {
  if (config_.rounds != 0 && rounds_done_ >= config_.rounds) {
    round_.reset();
    cohort_.reset();
    show_state();
    log_info("task_finished", "the task has made all its rounds",
             {{"task", row_.name}, {"rounds", rounds_done_}});
    return {};
  }
  if (privacy_ && stopped_.ok()) {
    const Status affordable = privacy_->may_open();
    if (affordable.code() == Code::kExhausted)
      stop(affordable);
    else
      MUSTER_TRY(affordable);
  }
  if (!stopped_.ok()) {
    round_.reset();
    cohort_.reset();
    show_state();
    return {};
  }
  RoundRow row;
  row.task = row_.id;
  row.round = round_row_.round + 1;
  row.model_version = version_;
  row.secret = ingest::random_secret();
  row.opened_ms = parts_.clock.wall_ms();
  if (encrypts()) {
    MUSTER_ASSIGN(row.spool_key,
                  new_round_key(parts_.masters, row.task, row.round, parts_.round_keys));
  }
  if (privacy_) MUSTER_TRY(privacy_->open(row.round));
  MUSTER_TRY(parts_.control.open_round(row));
  return open(std::move(row), {});
}

Status Task::open(RoundRow row, const std::vector<RecoveredRecord>& records) {
  round_row_ = std::move(row);
  take_up();
  round_.emplace(policy());
  set_terms();
  MUSTER_TRY(find_earlier());
  MUSTER_TRY(feed(records));
  std::vector<ingest::RecordHeader> headers;
  headers.reserve(records.size());
  for (const auto& record : records) headers.push_back(record.header);
  parts_.ingest.open_round(spec(), std::move(headers));
  log_info("round_opened", "round is open",
           {{"task", row_.name},
            {"round", round_row_.round},
            {"trace_id", trace_id()},
            {"model_version", version_},
            {"target", config_.target_cohort},
            {"recovered_updates", shows_cohort() ? cohort_->complete() : 0}});
  // The recovered updates count towards the target like any others.
  for (std::uint32_t i = 0; i < cohort_->complete(); ++i)
    MUSTER_TRY(carry_out(round_->on(RoundEvent::kUpdateComplete, opened_)));
  show_state();
  return {};
}

/// The time of the round counts from here; whoever reads its age needs no turn of the engine.
void Task::take_up() {
  opened_ = parts_.clock.now();
  metrics_->age.run(parts_.clock, opened_);
}

Status Task::feed(const std::vector<RecoveredRecord>& records) {
  if (!cohort_) {
    CohortParts parts{parts_.backend, parts_.spool,      parts_.slots,
                      plan_,          round_row_.secret, scale_exponents_};
    if (!config_.trusted_device.empty())
      parts.trusted = ingest::device_hash(parts_.control.node_secret(),
                                          *ingest::parse_key(config_.trusted_device), 0);
    if (config_.buffered) parts.staleness = config_.staleness_weight;
    if (privacy_) parts.privacy = &privacy_->round();
    MUSTER_ASSIGN(cohort_, CohortBuilder::create(std::move(parts)));
  }
  for (const RecoveredRecord& record : records) {
    ingest::Arrival arrival;
    arrival.header = record.header;
    arrival.location = record.location;
    MUSTER_ASSIGN([[maybe_unused]] const bool whole, cohort_->add(arrival));
  }
  return {};
}

Status Task::on_chunk(const ingest::Arrival& arrival) {
  if (!round_ || !cohort_ || arrival.header.round != round_row_.round) {
    if (arrival.slot != ingest::kNoSlot) parts_.slots.give_back(arrival.slot);
    return Status(Code::kInternal, "arrival_after_drain",
                  fmt::format("a chunk of round {} of task {} came after its end",
                              arrival.header.round, row_.name));
  }
  MUSTER_ASSIGN(const bool whole, cohort_->add(arrival));
  if (!whole) return {};
  if (shows_cohort()) metrics_->cohort.set(cohort_->complete());
  return carry_out(round_->on(RoundEvent::kUpdateComplete, parts_.clock.now()));
}

void Task::flush() {
  if (cohort_) cohort_->flush();
}

Status Task::on_drained(RoundNumber round) {
  if (!round_ || round != round_row_.round) return {};
  return carry_out(round_->on(RoundEvent::kDrained, parts_.clock.now()));
}

Status Task::tick() {
  if (!round_) return {};
  return carry_out(round_->on(RoundEvent::kTick, parts_.clock.now()));
}

Result<RoundNumber> Task::close_round() {
  if (!round_ || round_->phase() != RoundPhase::kOpen)
    return Status(Code::kClosed, "no_open_round", "task " + row_.name + " has no open round");
  const RoundNumber number = round_row_.round;
  MUSTER_TRY(carry_out(round_->on(RoundEvent::kCloseRequested, parts_.clock.now())));
  return number;
}

Result<RoundNumber> Task::abort_round() {
  if (!round_ || round_->phase() != RoundPhase::kOpen)
    return Status(Code::kClosed, "no_open_round", "task " + row_.name + " has no open round");
  const RoundNumber number = round_row_.round;
  MUSTER_TRY(carry_out(round_->on(RoundEvent::kAbortRequested, parts_.clock.now())));
  return number;
}

/// One duty leads to the next until the round waits for the outside again.
Status Task::carry_out(RoundDuty duty) {
  if (duty != RoundDuty::kNone) show_state();
  switch (duty) {
    case RoundDuty::kNone:
      return {};
    case RoundDuty::kStopAdmission:
      parts_.ingest.close_round(row_.id, round_row_.round);
      return {};
    case RoundDuty::kSeal:
      return seal();
    case RoundDuty::kAggregate:
      return aggregate();
    case RoundDuty::kRelease:
      return release();
    case RoundDuty::kShred:
      return shred();
    case RoundDuty::kAbandon:
      if (round_->aborting())
        return abandon(Status(Code::kClosed, "aborted", "an operator ended the round"));
      return abandon(Status(
          Code::kExhausted, "below_minimum_cohort",
          shows_cohort()
              ? fmt::format("{} updates, {} are the minimum", cohort_->complete(),
                            config_.minimum_cohort)
              : fmt::format("fewer updates than the minimum of {}", config_.minimum_cohort)));
  }
  return {};
}

Status Task::seal() {
  metrics_->collect.observe(static_cast<double>(parts_.clock.now() - opened_) / kSecond);
  const Nanoseconds start = parts_.clock.now();
  cohort_->release_slots();
  round_row_.sealed = cohort_->complete_ids();
  round_row_.sealed_hash = hash_ids(round_row_.sealed);
  round_row_.closed_ms = parts_.clock.wall_ms();
  std::vector<DeviceHash> devices;
  SealedDevices who;
  if (privacy_) {
    MUSTER_ASSIGN(devices, cohort_->devices_of(round_row_.sealed));
    who = {devices, static_cast<std::uint32_t>(privacy_->release_number())};
  }
  MUSTER_TRY(parts_.control.seal_round(row_.id, round_row_.round, round_row_.sealed,
                                       round_row_.sealed_hash, round_row_.closed_ms, who));
  if (privacy_) privacy_->sealed(devices);
  round_row_.state = RoundState::kSealed;
  MUSTER_TRY(audit(AuditKind::kRound, "closed"));
  metrics_->seal.observe(static_cast<double>(parts_.clock.now() - start) / kSecond);
  return carry_out(round_->on(RoundEvent::kSealed, parts_.clock.now()));
}

Status Task::aggregate() {
  if (privacy_) return aggregate_private();
  const Nanoseconds start = parts_.clock.now();
  auto aggregated = cohort_->aggregate(round_row_.sealed, codec_seed(), state_.aggregate);
  Status failure = aggregated.status();
  robust::ModelState next = state_;
  if (failure.ok())
    failure = robust::apply_step(parts_.backend, config_.step, plan_, aggregated->outcome,
                                 aggregated->sum, next);
  if (failure.ok() && config_.adaptive_scales) {
    next.scale_exponents = scale_exponents_;
    MUSTER_TRY(cohort_->adapt_scales(
        round_row_.sealed,
        robust::scale_range(plan_.request.format.codec, config_.value_bound, plan_.grid_bits),
        next.scale_exponents));
  }
  if (!failure.ok()) {
    // The rule or the step is not defined on this cohort: the round fails, the node does not.
    if (failure.code() != Code::kInvalid) return failure;
    [[maybe_unused]] const RoundDuty duty =
        round_->on(RoundEvent::kCannotAggregate, parts_.clock.now());
    return abandon(failure);
  }
  const robust::Outcome& outcome = aggregated->outcome;
  const double seconds = static_cast<double>(parts_.clock.now() - start) / kSecond;
  metrics_->aggregate.observe(seconds);
  metrics_->outcome(outcome);
  nlohmann::json record = {{"cohort", round_row_.sealed.size()},
                           {"n", outcome.n},
                           {"f", outcome.f},
                           {"invalid", outcome.invalid},
                           {"divisor", outcome.divisor},
                           {"selected", outcome.selected.size()},
                           {"chosen", outcome.chosen},
                           {"plan", plan_.describe()},
                           {"aggregate_seconds", seconds}};
  if (config_.adaptive_scales) {
    const auto [least, most] =
        std::minmax_element(next.scale_exponents.begin(), next.scale_exponents.end());
    record["next_scale_exponents"] = {{"least", *least}, {"most", *most}};
  }
  return keep_aggregate(std::move(next), record.dump());
}

Status Task::keep_aggregate(robust::ModelState next, std::string record) {
  const Sha256 hash = parts_.models.hash_of(layout_, next, version_ + 1);
  if (round_row_.state == RoundState::kAggregated) {
    if (hash != round_row_.model_hash)
      return Status(Code::kInternal, "release_differs",
                    fmt::format("round {} of task {} gives other bytes than before the restart",
                                round_row_.round, row_.name));
  } else {
    round_row_.record = std::move(record);
    round_row_.model_hash = hash;
    MUSTER_TRY(parts_.control.aggregate_round(row_.id, round_row_.round, hash, round_row_.record));
    round_row_.state = RoundState::kAggregated;
  }
  next_ = std::move(next);
  return carry_out(round_->on(RoundEvent::kAggregated, parts_.clock.now()));
}

Status Task::release() {
  const Nanoseconds start = parts_.clock.now();
  const ModelVersion version = version_ + 1;
  MUSTER_ASSIGN(const Sha256 hash, parts_.models.save(row_.name, version, layout_, *next_));
  MUSTER_CHECK(hash == round_row_.model_hash);
  if (privacy_)
    MUSTER_TRY(
        parts_.models.save_record(row_.name, version, privacy_->row().json, privacy_->row().text));
  MUSTER_TRY(parts_.control.release_round(
      row_.id, round_row_.round,
      {row_.id, version, ModelStore::file_name(row_.name, version), hash, parts_.clock.wall_ms()}));
  round_row_.state = RoundState::kReleased;
  state_ = std::move(*next_);
  next_.reset();
  set_scales();
  version_ = version;
  ++rounds_done_;
  MUSTER_TRY(publish());
  MUSTER_TRY(audit(AuditKind::kRelease, "released"));
  metrics_->release.observe(static_cast<double>(parts_.clock.now() - start) / kSecond);
  log_info("round_released", "round is released",
           {{"task", row_.name},
            {"round", round_row_.round},
            {"trace_id", trace_id()},
            {"model_version", version_},
            {"cohort", shows_cohort() ? round_row_.sealed.size() : 0},
            {"model_sha256", hex(hash)}});
  return carry_out(round_->on(RoundEvent::kReleased, parts_.clock.now()));
}

Status Task::shred() {
  if (privacy_) MUSTER_TRY(privacy_->forget_keys());
  MUSTER_TRY(parts_.control.shred_round(row_.id, round_row_.round));
  // Old versions go once their successors are safe. Version 0 stays: it is where the task began.
  MUSTER_ASSIGN(const auto versions, parts_.control.models(row_.id));
  for (const ModelRow& model : versions) {
    if (model.version == 0 || model.version + config_.keep_models > version_) continue;
    MUSTER_TRY(parts_.control.remove_model(row_.id, model.version));
    MUSTER_TRY(parts_.models.remove(row_.name, model.version));
  }
  round_->on(RoundEvent::kShredded, parts_.clock.now());
  return finish_round("released");
}

Status Task::abandon(const Status& why) {
  show_state();
  log_warning("round_abandoned", why.message(),
              {{"task", row_.name},
               {"round", round_row_.round},
               {"trace_id", trace_id()},
               {"reason", why.reason()}});
  MUSTER_TRY(audit(AuditKind::kRound, "abandoned", why.reason()));
  if (privacy_) MUSTER_TRY(privacy_->forget_keys());
  nlohmann::json record = {{"abandoned", why.reason()}, {"message", why.message()}};
  if (shows_cohort()) record["cohort"] = cohort_ ? cohort_->complete() : 0;
  MUSTER_TRY(parts_.control.abandon_round(row_.id, round_row_.round, record.dump()));
  round_->on(RoundEvent::kAbandoned, parts_.clock.now());
  return finish_round(why.reason() == "aborted" ? "aborted" : "abandoned");
}

Status Task::remember_sealed(const RoundRow& round) {
  ingest::SealedRound sealed{round.round, round.sealed, {}};
  if (privacy_) {
    MUSTER_ASSIGN(sealed.ledger, privacy_->ledger_of_round(round.round));
  }
  parts_.ingest.remember_sealed(row_.id, row_.name, std::move(sealed));
  return {};
}

Status Task::finish_round(std::string_view outcome) {
  metrics_->finished(outcome);
  cohort_.reset();
  // Ids stay, so that a device that missed its receipt still learns that its update counted.
  parts_.ingest.forget_round(row_.id, round_row_.round);
  if (outcome == "released") MUSTER_TRY(remember_sealed(round_row_));
  if (round_row_.round > remembered_rounds())
    parts_.ingest.forget_round(row_.id, round_row_.round - remembered_rounds());
  // The control store has wiped its copy: from here on nothing opens what the spool still holds.
  parts_.round_keys.forget(row_.id, round_row_.round);
  parts_.ingest.release_round(row_.id, round_row_.round);
  MUSTER_TRY(adopt_import());
  return open_next();
}

}  // namespace muster::server
