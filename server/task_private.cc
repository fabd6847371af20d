// What a task does otherwise where it is private.
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "server/task.h"
#include "server/task_metrics.h"

namespace muster::server {

Status Task::plan_private(const RuleChoice& choice, robust::PlanRequest request) {
  prepare_private(config_, choice, request);
  // Once for the coordinates that rules see, once with the memory that noise takes.
  MUSTER_ASSIGN(plan_, robust::make_plan(request, parts_.backend));
  MUSTER_ASSIGN(private_plan_, plan_privacy(config_, choice, plan_, parts_.backend));
  request.beside = private_memory(*private_plan_, plan_, parts_.backend);
  MUSTER_ASSIGN(plan_, robust::make_plan(request, parts_.backend));
  rule_text_.append(", private: ").append(config_.privacy->mechanism);
  if (row_.id != 0 || parts_.ledgers == nullptr) return {};
  // What loading the task would refuse, before it is written down.
  return parts_.ledgers->open(config_.privacy->budget()).status();
}

PrivateParts Task::private_parts() const {
  return {parts_.storage, parts_.control, *parts_.ledgers, parts_.masters,
          parts_.clock,   parts_.stats,   parts_.data_dir};
}

bool Task::shows_cohort() const {
  return !privacy_ || private_plan_->request.adjacency != privacy::Adjacency::kAddRemove;
}

void Task::stop(const Status& why) {
  if (!stopped_.ok()) return;
  stopped_ = why;
  log_warning("task_stopped", why.message(), {{"task", row_.name}, {"reason", why.reason()}});
}

void Task::set_terms() {
  std::string terms = terms_;
  if (privacy_) terms += privacy_->round_terms();
  terms_hash_ = ingest::sha256(as_bytes(terms));
}

/// Charge, then noise, then everything that may be read (design.md, law 3). Nothing of single
/// updates is left when this returns but the state of the next model.
Status Task::aggregate_private() {
  const Nanoseconds start = parts_.clock.now();
  auto noise = privacy_->charge(round_row_);
  if (!noise.ok()) {
    if (noise.status().code() != Code::kExhausted) return noise.status();
    stop(noise.status());
    [[maybe_unused]] const RoundDuty duty =
        round_->on(RoundEvent::kCannotAggregate, parts_.clock.now());
    return abandon(noise.status());
  }
  MUSTER_TRY(audit(AuditKind::kPrivacy, "charged"));
  auto aggregated =
      cohort_->aggregate_private(round_row_.sealed, codec_seed(), state_.aggregate, *noise);
  Status failure = aggregated.status();
  robust::ModelState next = state_;
  if (failure.ok())
    failure = robust::apply_step(parts_.backend, config_.step, plan_, aggregated->noised.outcome,
                                 aggregated->sum, next);
  if (!failure.ok()) {
    // Of noised values only, which may be said.
    if (failure.code() != Code::kInvalid) return failure;
    [[maybe_unused]] const RoundDuty duty =
        round_->on(RoundEvent::kCannotAggregate, parts_.clock.now());
    return abandon(failure);
  }
  MUSTER_TRY(privacy_->describe(version_ + 1, aggregated->noised.clip_count));
  metrics_->aggregate.observe(static_cast<double>(parts_.clock.now() - start) / kSecond);
  nlohmann::json record = {{"n", private_plan_->request.n},
                           {"plan", plan_.describe()},
                           {"privacy", nlohmann::json::parse(privacy_->row().json)},
                           {"privacy_text", privacy_->row().text}};
  if (shows_cohort()) record["cohort"] = round_row_.sealed.size();
  return keep_aggregate(std::move(next), record.dump());
}

}  // namespace muster::server
