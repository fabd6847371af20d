// One task at work: its plan, its model, its open round, and the duties of the round's life.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/stats.h"
#include "ingest/service.h"
#include "server/audit.h"
#include "server/cohort.h"
#include "server/config.h"
#include "server/control_store.h"
#include "server/model_store.h"
#include "server/private_task.h"
#include "server/round.h"

namespace muster::server {

/// What a task works with; all outlive it.
struct TaskParts {
  Storage& storage;
  ControlStore& control;
  ModelStore& models;
  kernels::Backend& backend;
  const ingest::Spool& spool;
  ingest::SlotPool& slots;
  ingest::Service& ingest;
  const Clock& clock;
  Stats& stats;
  /// Keys of rounds: what wraps them, those in use, and whether every round has one.
  const privacy::MasterKeys& masters;
  ingest::RoundKeys& round_keys;
  bool encrypt_all = true;
  std::string data_dir = {};
  PrivateLedgers* ledgers = nullptr;  ///< the engine's
  Audit* audit = nullptr;             ///< null: nothing is audited (simulations)
};

/// A durable record found at start.
struct RecoveredRecord {
  ingest::RecordHeader header;
  ingest::RecordLocation location;
};

/// What a task says about itself to people.
struct TaskStatus {
  TaskId id = 0;
  std::string name, rule, codec, state;
  RoundNumber round = 0;
  ModelVersion model_version = 0;
  std::uint64_t dimension = 0, rounds_done = 0;
  std::uint32_t cohort = 0, target = 0, minimum = 0;
  double deadline_s = 0;  ///< until the round closes; 0: none
  std::string plan, terms;
  std::string stopped;  ///< why no further round opens, as a sentence; empty: nothing stops it
  std::optional<PrivacyStatus> privacy;
  bool shows_cohort = true;  ///< false: who came is not public
};

struct TaskMetrics;

/// One thread (the engine). Any Status these return is fatal for the node: the disk or the control
/// store failed, or a promise was broken. What is durable stays so, and the next start resumes.
class Task {
 public:
  /// Plans the task ("memory_budget", "grid_too_coarse", ...: nothing was changed) and loads or
  /// makes its model.
  static Result<std::unique_ptr<Task>> create(TaskParts parts, TaskRow row, TaskConfig config);

  /// Takes the task up where the control store says it is. `records` are those of its latest round.
  Status resume(std::vector<RecoveredRecord> records);
  Status on_chunk(const ingest::Arrival& arrival);
  /// No more arrivals are at hand: what waited for company is folded.
  void flush();
  Status on_drained(RoundNumber round);
  Status tick();
  /// Operator: close the open round now. "no_open_round" is for the operator, not fatal.
  Result<RoundNumber> close_round();

  /// Operator: give the open round up; its updates are not used.
  Result<RoundNumber> abort_round();
  /// Operator: the next model version comes from a file. The open round is aborted, since its
  /// devices train from another model. "wrong_dimension", "round_busy" are for the operator.
  Result<ModelVersion> import_model(SafetensorsFile file);

  TaskStatus status() const;
  const TaskRow& row() const { return row_; }
  const TaskConfig& config() const { return config_; }
  const robust::Plan& plan() const { return plan_; }
  const Layout& layout() const { return layout_; }
  RoundNumber round() const { return round_row_.round; }
  /// Peak bytes of this task outside the backend: tables of ingest, books, copies of the model.
  std::size_t host_bytes() const;

 private:
  struct Import {
    Layout layout;
    robust::ModelState state;
    ModelVersion version = 0;
  };

  Task(TaskParts parts, TaskRow row, TaskConfig config);
  Status load_model();
  Status publish();
  /// The exponents devices are told: those of the present version, else the configuration's.
  void set_scales();
  Status adopt_import();
  Status open_next();
  Status open(RoundRow row, const std::vector<RecoveredRecord>& records);
  void take_up();
  Status feed(const std::vector<RecoveredRecord>& records);
  Status carry_out(RoundDuty duty);
  Status seal();
  Status aggregate();
  Status aggregate_private();
  /// The next state is computed: it is recorded, or held against what was recorded before.
  Status keep_aggregate(robust::ModelState next, std::string record);
  Status release();
  Status shred();
  Status abandon(const Status& why);
  Status finish_round(std::string_view outcome);
  /// For devices that never saw their receipt.
  Status remember_sealed(const RoundRow& round);
  Status find_earlier();
  /// Of the open round: the task's terms, and in a private task what is the round's own.
  void set_terms();
  Status plan_private(const RuleChoice& choice, robust::PlanRequest request);
  PrivateParts private_parts() const;
  /// No further round opens; says so once.
  void stop(const Status& why);
  /// Rounds before the present one whose sealed ids ingest knows.
  RoundNumber remembered_rounds() const;
  ingest::RoundSpec spec() const;
  /// Whether the updates of the next round are to lie encrypted on disk.
  bool encrypts() const { return parts_.encrypt_all || config_.privacy; }
  /// Whether how many came may be said.
  bool shows_cohort() const;
  std::uint64_t codec_seed() const;
  RoundPolicy policy() const;
  void show_state();
  std::string_view state_name() const;
  /// The same for all lines about the open round, over restarts: for logs.
  std::string trace_id() const;
  Status audit(AuditKind kind, std::string_view action, std::string_view reason = {});

  TaskParts parts_;
  TaskRow row_;
  TaskConfig config_;
  std::string rule_text_;
  robust::Plan plan_;
  std::optional<PrivatePlan> private_plan_;
  std::unique_ptr<PrivateTask> privacy_;  ///< once the task exists
  Status stopped_;
  std::vector<std::int8_t> scale_exponents_;
  std::string terms_;
  Sha256 terms_hash_{};
  Layout layout_;
  ModelVersion version_ = 0;
  std::shared_ptr<const ingest::PublishedModel> published_;
  robust::ModelState state_;                ///< of version_
  std::optional<robust::ModelState> next_;  ///< computed, not yet released
  std::optional<Import> import_;            ///< on disk, not yet in use
  std::uint64_t rounds_done_ = 0;
  RoundRow round_row_;
  std::vector<ingest::EarlierRound> earlier_;
  std::optional<Round> round_;
  std::unique_ptr<CohortBuilder> cohort_;
  Nanoseconds opened_ = 0;
  std::shared_ptr<TaskMetrics> metrics_;
};

}  // namespace muster::server
