#include "server/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/log.h"
#include "server/config_rule.h"
#include "server/task_metrics.h"

namespace muster::server {
namespace {

/// Largest model file read at once.
constexpr std::size_t kModelFileBytes = std::size_t{64} << 30;

}  // namespace

Task::Task(TaskParts parts, TaskRow row, TaskConfig config)
    : parts_(parts), row_(std::move(row)), config_(std::move(config)) {}

Result<std::unique_ptr<Task>> Task::create(TaskParts parts, TaskRow row, TaskConfig config) {
  std::unique_ptr<Task> task(new Task(parts, std::move(row), std::move(config)));
  const TaskConfig& wish = task->config_;
  MUSTER_ASSIGN(RuleChoice choice, choose_rule(wish));
  task->rule_text_ = rule_text(choice);
  const RuleChoice chosen = choice;
  MUSTER_TRY(task->load_model());
  robust::PlanRequest request;
  request.rule = choice.rule;
  request.pre_steps = std::move(choice.pre_steps);
  request.sharding = choice.sharding;
  request.invalid_updates = wish.invalid_updates == "zero" ? robust::InvalidUpdates::kZero
                                                           : robust::InvalidUpdates::kReject;
  request.dimension = task->layout_.dimension;
  // A chunk longer than the model would only size slots for bytes that never come.
  const std::uint64_t block = wish.block;
  request.chunk_coordinates = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      wish.chunk_coordinates, divide_up(task->layout_.dimension, block) * block));
  request.format = chunk_format(wish);
  request.max_updates = most_updates(wish);
  request.max_weight = wish.max_weight * (wish.buffered ? robust::kStalenessUnit : 1);
  request.minimum_cohort = wish.minimum_cohort;
  request.value_bound = wish.value_bound;
  request.optimiser = wish.step.optimiser;
  request.memory_budget = wish.memory_bytes;
  if (wish.privacy && wish.privacy->central()) {
    MUSTER_TRY(task->plan_private(chosen, std::move(request)));
  } else {
    MUSTER_ASSIGN(task->plan_, robust::make_plan(request, parts.backend));
  }
  task->set_scales();
  if (ingest::record_bytes(task->plan_.row_bytes) > parts.slots.slot_bytes())
    return Status(
        Code::kInvalid, "chunk_too_large",
        fmt::format("a chunk of {} coordinates in {} takes {} bytes, a slot holds {}; "
                    "lower chunk_coordinates",
                    task->plan_.request.chunk_coordinates, wish.codec, task->plan_.row_bytes,
                    parts.slots.slot_bytes() - ingest::kRecordHeaderBytes));
  task->terms_ = task_terms(wish);
  task->terms_hash_ = ingest::sha256(as_bytes(task->terms_));
  task->metrics_ =
      std::make_shared<TaskMetrics>(parts.stats, wish, robust::rule_name(task->plan_.request.rule),
                                    task->private_plan_.has_value());
  if (task->private_plan_ && task->row_.id != 0) {
    MUSTER_ASSIGN(task->privacy_, PrivateTask::create(task->private_parts(), task->row_.id,
                                                      wish.name, *task->private_plan_));
  }
  return task;
}

/// The newest released version; for a new task the file or the zeros its author asked for.
Status Task::load_model() {
  if (row_.id != 0) {
    MUSTER_ASSIGN(const auto versions, parts_.control.models(row_.id));
    if (!versions.empty()) {
      const ModelRow& newest = versions.back();
      MUSTER_ASSIGN(StoredModel stored, parts_.models.load(row_.name, newest.version, newest.hash));
      layout_ = std::move(stored.layout);
      state_ = std::move(stored.state);
      version_ = newest.version;
      return publish();
    }
  }
  if (config_.model.empty()) {
    layout_ = Layout::flat(config_.dimension);
    state_.values.assign(config_.dimension, 0.0f);
  } else {
    MUSTER_ASSIGN(const auto bytes, read_file(parts_.storage, config_.model, kModelFileBytes));
    MUSTER_ASSIGN(SafetensorsFile file, parse_safetensors(bytes));
    layout_ = std::move(file.layout);
    state_.values = std::move(file.values);
  }
  return publish();
}

void Task::set_scales() {
  if (!has_shared_scales(plan_.request.format.codec)) return;
  const auto blocks = divide_up<std::uint64_t>(layout_.dimension, config_.block);
  scale_exponents_ = state_.scale_exponents;
  if (scale_exponents_.empty())
    scale_exponents_.assign(blocks, static_cast<std::int8_t>(config_.scale_exponent));
  MUSTER_CHECK_OP(scale_exponents_.size(), ==, blocks);
}

Status Task::publish() {
  auto model = std::make_shared<ingest::PublishedModel>();
  model->version = version_;
  model->values = state_.values;
  published_ = std::move(model);
  return {};
}

Result<ModelVersion> Task::import_model(SafetensorsFile file) {
  if (file.layout.dimension != layout_.dimension)
    return Status(Code::kInvalid, "wrong_dimension",
                  fmt::format("the file has {} coordinates, the task {}", file.layout.dimension,
                              layout_.dimension));
  if (import_ || (round_ && round_->phase() != RoundPhase::kOpen))
    return Status(Code::kExhausted, "round_busy", "a round is being closed; try again in a moment");
  Import import{std::move(file.layout), {}, version_ + 1};
  import.state.values = std::move(file.values);
  MUSTER_ASSIGN(const Sha256 hash,
                parts_.models.save(row_.name, import.version, import.layout, import.state));
  MUSTER_TRY(parts_.control.add_model({row_.id, import.version,
                                       ModelStore::file_name(row_.name, import.version), hash,
                                       parts_.clock.wall_ms()}));
  const ModelVersion version = import.version;
  import_ = std::move(import);
  if (round_)
    MUSTER_TRY(carry_out(round_->on(RoundEvent::kAbortRequested, parts_.clock.now())));
  else
    MUSTER_TRY(adopt_import());
  return version;
}

/// The imported model is on disk and indexed; from now on devices train from it.
Status Task::adopt_import() {
  if (!import_) return {};
  layout_ = std::move(import_->layout);
  state_ = std::move(import_->state);
  version_ = import_->version;
  import_.reset();
  set_scales();
  return publish();
}

RoundPolicy Task::policy() const {
  return {config_.target_cohort, config_.minimum_cohort,
          config_.deadline == 0 ? 0 : opened_ + config_.deadline};
}

ingest::RoundSpec Task::spec() const {
  ingest::RoundSpec spec;
  spec.task = row_.id;
  spec.task_name = row_.name;
  spec.round = round_row_.round;
  spec.model = published_;
  spec.dimension = layout_.dimension;
  spec.chunk_coordinates = plan_.request.chunk_coordinates;
  spec.chunk_count = plan_.chunk_count;
  spec.format = plan_.request.format;
  spec.scale_exponents = scale_exponents_;
  spec.codec_seed = codec_seed();
  spec.clip_norm = config_.device_clip_norm;
  if (privacy_) {
    if (spec.clip_norm == 0 && config_.privacy->clip_norm > 0)
      spec.clip_norm = privacy_->clip_norm();
    spec.kept_out = privacy_->kept_out();
    spec.ledger = privacy_->ledger_at_opening();
    spec.discreet = true;
  }
  spec.value_bound = config_.value_bound;
  spec.max_weight = config_.max_weight;
  spec.max_assigned = plan_.request.max_updates;
  spec.max_updates = plan_.request.max_updates;
  spec.deadline = policy().deadline;
  spec.terms = terms_hash_;
  spec.sealed = parts_.round_keys.has(row_.id, round_row_.round);
  spec.buffered = config_.buffered;
  spec.earlier = earlier_;
  return spec;
}

RoundNumber Task::remembered_rounds() const {
  return config_.buffered ? std::max(1u, config_.max_staleness) : 1;
}

/// The rounds whose late updates count in the one that opens: those that trained from an ancestor
/// of the present model, no further back than their sealed ids are remembered.
Status Task::find_earlier() {
  earlier_.clear();
  if (!config_.buffered) return {};
  MUSTER_ASSIGN(const auto rounds,
                parts_.control.rounds(row_.id, std::size_t{config_.max_staleness} + 1));
  // Newest first. An import makes a version that no round released: there the line ends.
  ModelVersion ancestor = version_;
  for (const RoundRow& row : rounds) {
    if (row.round >= round_row_.round || row.round + config_.max_staleness < round_row_.round)
      continue;
    const bool released = row.state == RoundState::kReleased || row.state == RoundState::kShredded;
    if (released && row.model_version + 1 == ancestor) --ancestor;
    if (row.model_version != ancestor) break;
    earlier_.push_back({row.round, row.model_version, terms_hash_});
    if (!privacy_) continue;
    MUSTER_ASSIGN(const std::string own, privacy_->terms_of_round(row.round));
    earlier_.back().terms = ingest::sha256(as_bytes(terms_ + own));
  }
  return {};
}

/// Devices know it: derived from the round's secret, which it does not give away.
std::uint64_t Task::codec_seed() const {
  return ingest::keyed_hash(round_row_.secret, as_bytes("codec seed")).low;
}

std::size_t Task::host_bytes() const {
  const std::size_t model = layout_.dimension * sizeof(float);
  const std::size_t moments = plan_.request.optimiser == kernels::Optimiser::kSgd        ? 0
                              : plan_.request.optimiser == kernels::Optimiser::kMomentum ? 1
                                                                                         : 2;
  const std::size_t last_aggregate = robust::uses_previous(plan_.request.rule) ? 1 : 0;
  // Present and next state, published copy, and the file being built.
  const std::size_t participants =
      private_plan_ ? Participants::bytes(private_plan_->config.max_devices) : 0;
  return model * (4 + 2 * (moments + last_aggregate)) + CohortBuilder::book_bytes(plan_) +
         participants +
         2 * ingest::Intake::round_bytes(plan_.request.max_updates, plan_.chunk_count);
}

std::string_view Task::state_name() const {
  if (round_) return phase_name(round_->phase());
  return stopped_.ok() ? "finished" : "stopped";
}

std::string Task::trace_id() const {
  const auto hash = ingest::keyed_hash(round_row_.secret, as_bytes("trace id"));
  return hex(object_bytes(hash));
}

Status Task::audit(AuditKind kind, std::string_view action, std::string_view reason) {
  if (parts_.audit == nullptr) return {};
  // How many came to a round may be part of what its privacy statement hides.
  const std::uint64_t cohort = shows_cohort() ? round_row_.sealed.size() : 0;
  return parts_.audit->write(kind, action,
                             {{"task", row_.name},
                              {"round", round_row_.round},
                              {"cohort", cohort},
                              {"model_version", version_},
                              {"model_sha256", hex(round_row_.model_hash)},
                              {"reason", reason},
                              {"trace_id", trace_id()}});
}

void Task::show_state() {
  if (!round_) metrics_->age.set(metrics_->age.value());  // there is nothing left to grow old
  metrics_->show(state_name(), round_row_.round,
                 cohort_ && shows_cohort() ? cohort_->complete() : 0, version_);
}

TaskStatus Task::status() const {
  TaskStatus status;
  status.id = row_.id;
  status.name = row_.name;
  status.rule = rule_text_;
  status.codec = config_.codec;
  status.state = std::string(state_name());
  status.round = round_row_.round;
  status.model_version = version_;
  status.dimension = layout_.dimension;
  status.rounds_done = rounds_done_;
  status.shows_cohort = shows_cohort();
  status.cohort = cohort_ && status.shows_cohort ? cohort_->complete() : 0;
  status.stopped = std::string(stopped_.message());
  if (privacy_) status.privacy = privacy_->status();
  status.target = config_.target_cohort;
  status.minimum = config_.minimum_cohort;
  if (round_ && round_->policy().deadline != 0)
    status.deadline_s = std::max(
        0.0, static_cast<double>(round_->policy().deadline - parts_.clock.now()) / kSecond);
  status.plan = plan_.describe();
  status.terms = hex(terms_hash_);
  return status;
}

}  // namespace muster::server
