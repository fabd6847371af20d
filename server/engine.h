// The one thread that owns tasks, rounds, backend and models: it takes what ingest hands up, lets
// time pass, and does what operators ask.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/queue.h"
#include "server/task.h"

namespace muster::server {

/// Records found by Spool::open, by round.
using RecoveredRounds = std::map<std::pair<TaskId, RoundNumber>, std::vector<RecoveredRecord>>;

struct MemoryBudget {
  std::vector<robust::MemoryItem> items;
  std::size_t total_bytes = 0;
  std::string describe() const;
};

/// Fills the ring that decides who may connect from what is enrolled; call it before anybody can.
Status load_keys(ControlStore& control, ingest::KeyRing& keys);

class Engine {
 public:
  /// `arrivals` is filled by ingest. `slab_bytes` and `config` only feed the budget and task
  /// limits.
  Engine(TaskParts parts, BoundedQueue<ingest::Arrival>& arrivals, ingest::KeyRing& keys,
         const Config& config);
  ~Engine();

  /// Loads keys and tasks, creates the configured tasks that do not exist yet, resumes every round,
  /// and lets go of records nobody needs. Before the first turn.
  Status start(RecoveredRounds recovered);

  /// Waits at most `wait` for arrivals, works on a batch of them, runs requests, lets time pass.
  /// Any Status is fatal: the process must end and recover.
  Status turn(Nanoseconds wait);

  /// Runs `work` on the engine's thread, between turns, and waits for it. From any other thread.
  /// False if the engine has stopped.
  bool call(const std::function<void(Engine&)>& work);
  /// No more call(); those waiting return false.
  void stop();

  // What operators do; on the engine's thread.
  Result<Task*> create_task(TaskConfig config);
  Task* find(std::string_view name);
  const std::map<TaskId, std::unique_ptr<Task>>& tasks() const { return tasks_; }
  Status enroll(const std::vector<KeyRow>& keys);
  Status revoke(const ingest::PublicKey& key);
  ControlStore& control() { return parts_.control; }
  ModelStore& models() { return parts_.models; }

  /// What this node may use with the tasks it has, by item.
  MemoryBudget budget() const;

 private:
  struct Request;
  void show_budget();
  Status audit_keys(std::string_view action, std::span<const ingest::PublicKey> keys);
  Status add_task(TaskRow row, TaskConfig config, std::vector<RecoveredRecord> records);

  PrivateLedgers ledgers_;
  TaskParts parts_;
  BoundedQueue<ingest::Arrival>& arrivals_;
  ingest::KeyRing& keys_;
  const Config& config_;
  std::map<TaskId, std::unique_ptr<Task>> tasks_;
  std::vector<ingest::Arrival> batch_;
  Gauge& queue_length_;
  Gauge& tasks_gauge_;
  Gauge& budget_gauge_;
  BoundedQueue<std::shared_ptr<Request>> requests_;
};

}  // namespace muster::server
