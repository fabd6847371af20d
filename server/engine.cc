#include "server/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/hex.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/group_stage.h"

namespace muster::server {
namespace {

constexpr std::size_t kBatch = 512;
constexpr std::size_t kRequests = 64;
/// Keys of one request that the audit stream names one by one; for all of them it has a hash.
constexpr std::size_t kAuditedKeys = 1000, kKeyNameDigits = 16;
// Code, libraries, SQLite's cache, thread stacks, allocator slack; measured on an idle server,
// rounded up.
constexpr std::size_t kProcessBytes = std::size_t{48} << 20;

// Of an authenticated peer: what libzmq's session, engine and pipes reserve, most of it never
// touched. A silent one uses 39 KiB (docs/sizing.md); where others come and go in the same memory,
// up to all of it is touched (memory_trim.h).
constexpr std::size_t kConnectionBytes = std::size_t{100} << 10;

}  // namespace

/// A call from another thread: done once `work` has run or the engine stopped.
struct Engine::Request {
  const std::function<void(Engine&)>* work = nullptr;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  bool ran = false;

  void finish(bool did_run) {
    std::lock_guard lock(mutex);
    done = true;
    ran = did_run;
    changed.notify_all();
  }
};

Status load_keys(ControlStore& control, ingest::KeyRing& keys) {
  MUSTER_ASSIGN(const auto rows, control.keys());
  for (const KeyRow& row : rows) {
    keys.enroll(row.key, row.role);
    if (row.revoked) keys.revoke(row.key);
  }
  return {};
}

Engine::Engine(TaskParts parts, BoundedQueue<ingest::Arrival>& arrivals, ingest::KeyRing& keys,
               const Config& config)
    : ledgers_(parts.storage, parts.control, config.data_dir + "/ledgers"),
      parts_(parts),
      arrivals_(arrivals),
      keys_(keys),
      config_(config),
      queue_length_(parts.stats.gauge("muster_arrival_queue_length")),
      tasks_gauge_(parts.stats.gauge("muster_tasks")),
      budget_gauge_(parts.stats.gauge("muster_memory_budget_bytes")),
      requests_(kRequests) {
  batch_.reserve(kBatch);
  parts_.ledgers = &ledgers_;
  parts_.data_dir = config.data_dir;
}

Engine::~Engine() { stop(); }

Status Engine::start(RecoveredRounds recovered) {
  MUSTER_ASSIGN(const auto rows, parts_.control.tasks());
  for (const TaskRow& row : rows) {
    MUSTER_ASSIGN(TaskConfig config, parse_task(row.text, "task " + row.name));
    std::vector<RecoveredRecord> records;
    MUSTER_ASSIGN(const auto latest, parts_.control.latest_round(row.id));
    if (latest && latest->state != RoundState::kShredded &&
        latest->state != RoundState::kAbandoned && latest->state != RoundState::kReleased) {
      const auto found = recovered.find({row.id, latest->round});
      if (found != recovered.end()) {
        records = std::move(found->second);
        recovered.erase(found);
      }
    }
    MUSTER_TRY(add_task(row, std::move(config), std::move(records)));
  }
  for (const TaskConfig& config : config_.tasks) {
    if (find(config.name) != nullptr) continue;
    MUSTER_ASSIGN([[maybe_unused]] Task* const task, create_task(config));
  }
  show_budget();
  // Rounds that ended, but whose records had not been let go of when the process did.
  for (const auto& [round, records] : recovered)
    parts_.ingest.release_round(round.first, round.second);
  return {};
}

Status Engine::add_task(TaskRow row, TaskConfig config, std::vector<RecoveredRecord> records) {
  const TaskId id = row.id;
  const std::string name = row.name;
  auto task = Task::create(parts_, std::move(row), std::move(config));
  if (!task.ok()) return std::move(task).status().with_context("task " + name);
  Task& added = **task;
  tasks_[id] = std::move(*task);
  show_budget();
  MUSTER_TRY(added.resume(std::move(records)).with_context("task " + name));
  log_info("task_ready", added.plan().describe(), {{"task", name}});
  return {};
}

Result<Task*> Engine::create_task(TaskConfig config) {
  // Planned once before it is written down, so that a task that cannot run leaves no trace.
  TaskRow row;
  row.name = config.name;
  row.text = config.text;
  row.created_ms = parts_.clock.wall_ms();
  if (find(row.name) != nullptr)
    return Status(Code::kDuplicate, "task_exists", "there is a task named " + row.name);
  if (tasks_.size() >= limits::kMaxTasks)
    return Status(Code::kExhausted, "too_many_tasks",
                  fmt::format("a node runs at most {} tasks", limits::kMaxTasks));
  MUSTER_ASSIGN([[maybe_unused]] const auto trial, Task::create(parts_, row, config));
  MUSTER_ASSIGN(row.id, parts_.control.create_task(row.name, row.text, row.created_ms));
  const TaskId id = row.id;
  MUSTER_TRY(add_task(std::move(row), std::move(config), {}));
  return tasks_.at(id).get();
}

Task* Engine::find(std::string_view name) {
  for (const auto& [id, task] : tasks_)
    if (task->row().name == name) return task.get();
  return nullptr;
}

Status Engine::enroll(const std::vector<KeyRow>& keys) {
  if (keys_.size() + keys.size() > limits::kMaxKeys)
    return Status(Code::kExhausted, "too_many_keys",
                  fmt::format("a node knows at most {} keys", limits::kMaxKeys));
  std::vector<ingest::PublicKey> enrolled;
  for (const KeyRow& row : keys) enrolled.push_back(row.key);
  MUSTER_TRY(audit_keys("enrolled", enrolled));
  MUSTER_TRY(parts_.control.enroll(keys));
  for (const KeyRow& row : keys) keys_.enroll(row.key, row.role);
  return {};
}

/// Before the change: what cannot be written down is not done.
Status Engine::audit_keys(std::string_view action, std::span<const ingest::PublicKey> keys) {
  if (parts_.audit == nullptr) return {};
  std::string names;
  for (const auto& key : keys.first(std::min(keys.size(), kAuditedKeys)))
    names += fmt::format("{}{}", names.empty() ? "" : " ",
                         hex(ingest::sha256(object_bytes(key))).substr(0, kKeyNameDigits));
  return parts_.audit->write(AuditKind::kKey, action,
                             {{"count", keys.size()},
                              {"key_sha256", names},
                              {"all_sha256", hex(ingest::sha256(std::as_bytes(keys)))}});
}

Status Engine::revoke(const ingest::PublicKey& key) {
  MUSTER_TRY(audit_keys("revoked", {&key, 1}));
  MUSTER_TRY(parts_.control.revoke(key));
  keys_.revoke(key);
  parts_.ingest.disconnect(key);
  return {};
}

void Engine::show_budget() {
  tasks_gauge_.set(static_cast<double>(tasks_.size()));
  budget_gauge_.set(static_cast<double>(budget().total_bytes));
}

Status Engine::turn(Nanoseconds wait) {
  batch_.clear();
  arrivals_.pop_many(batch_, kBatch, wait);
  queue_length_.set(static_cast<double>(arrivals_.size()));
  for (const ingest::Arrival& arrival : batch_) {
    const auto found = tasks_.find(arrival.header.task);
    if (found == tasks_.end())
      return Status(Code::kInternal, "arrival_without_task", "an arrival for a task unknown here");
    Task& task = *found->second;
    if (arrival.kind == ingest::Arrival::Kind::kRoundDrained)
      MUSTER_TRY(task.on_drained(arrival.header.round));
    else
      MUSTER_TRY(task.on_chunk(arrival));
  }
  // Whole updates wait for company as long as more of them come, but not while slots are scarce.
  if (batch_.empty() || parts_.slots.free_count() < parts_.slots.count() / 2)
    for (const auto& [id, task] : tasks_) task->flush();
  std::vector<std::shared_ptr<Request>> requests;
  requests_.pop_many(requests, kRequests, 0);
  for (const auto& request : requests) {
    (*request->work)(*this);
    request->finish(true);
  }
  for (const auto& [id, task] : tasks_) MUSTER_TRY(task->tick());
  return {};
}

bool Engine::call(const std::function<void(Engine&)>& work) {
  auto request = std::make_shared<Request>();
  request->work = &work;
  if (!requests_.push(request)) return false;
  std::unique_lock lock(request->mutex);
  request->changed.wait(lock, [&] { return request->done; });
  return request->ran;
}

void Engine::stop() {
  requests_.close();
  std::vector<std::shared_ptr<Request>> left;
  requests_.pop_many(left, kRequests, 0);
  for (const auto& request : left) request->finish(false);
}

MemoryBudget Engine::budget() const {
  MemoryBudget budget;
  auto add = [&](std::string what, std::size_t bytes) {
    budget.items.push_back({std::move(what), bytes});
    budget.total_bytes += bytes;
  };
  add("process", kProcessBytes);
  add("slab", parts_.slots.count() * parts_.slots.slot_bytes());
  add("spool", ingest::GroupStage::kBytes);
  // A frame in flight: the kernel's window in libzmq's hands, one message per I/O thread and two
  // per sending peer are bounded by the receive high water; this is the allowance for 16 peers
  // sending at once.
  add("sockets", 16 * 2 * limits::kPayloadBytes);
  add("connections", config_.ingest.max_connections * kConnectionBytes);
  for (const auto& [id, task] : tasks_)
    add("task " + task->row().name, task->plan().peak_bytes + task->host_bytes());
  return budget;
}

std::string MemoryBudget::describe() const {
  std::string text =
      fmt::format("memory budget {:.1f} MiB:", static_cast<double>(total_bytes) / (1 << 20));
  for (const auto& item : items)
    text += fmt::format(" {} {:.1f} MiB,", item.what, static_cast<double>(item.bytes) / (1 << 20));
  text.pop_back();
  return text;
}

}  // namespace muster::server
