// A whole server in one object: everything main() wires, in the order it must start and stop.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "monitoring/notify.h"
#include "server/admin.h"
#include "server/config.h"
#include "server/crash_guard.h"
#include "server/engine.h"
#include "server/metered_backend.h"

namespace muster::server {

/// start(), run() and the destructor on one thread; stop() from any thread or signal handler.
class Node {
 public:
  /// Opens the data directory ("already_locked" if a server runs there), recovers, binds, resumes.
  /// `stopping`, which may turn true at any time (a signal's flag), makes run() drain and return,
  /// as stop() does; it outlives the node.
  static Result<std::unique_ptr<Node>> start(const Config& config,
                                             const std::atomic<bool>* stopping = nullptr);
  ~Node();

  /// Works until stop() or a fault. OK after an orderly drain: everything admitted is committed,
  /// receipts are sent, open rounds wait on disk for the next start.
  Status run();
  /// Takes the reloadable keys of `fresh`, all of them, and logs which other keys differ and need a
  /// restart. From any thread.
  void reload(const Config& fresh);
  /// A signal asked for a reload, but the file cannot be read: says so, changes nothing.
  void reload_refused(const Status& why);
  /// Asks run() to drain and return. Async-signal-safe.
  void stop() { stopping_.store(true); }

  const NodeFacts& facts() const { return facts_; }
  Engine& engine() { return *engine_; }
  Stats& stats() { return stats_; }
  const ingest::RecoveryReport& recovery() const { return recovery_; }

 private:
  Node(const Config& config, const std::atomic<bool>* stopping);
  Status open();
  Status open_ingest(RecoveredRounds& recovered);
  Status open_public_http();
  Status open_admin();
  void announce();
  bool is_stopping() const { return stopping_ || (stop_flag_ != nullptr && *stop_flag_); }
  void on_alive();
  void refresh_gauges();
  std::vector<std::string> unready() const;
  /// Which tasks carry a privacy statement.
  std::string privacy_line() const;
  std::size_t choose_slot_bytes(const std::vector<TaskRow>& known) const;

  Config config_;
  SystemClock clock_;
  PosixStorage storage_;
  Stats stats_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> faulted_{false};
  std::atomic<bool> starting_{true};
  const std::atomic<bool>* const stop_flag_;
  monitoring::Notifier notifier_ = monitoring::Notifier::from_environment();
  std::atomic<int> alive_{0};
  std::unique_ptr<File> lock_;
  std::optional<CrashGuard> crash_guard_;
  std::unique_ptr<Audit> audit_;
  std::unique_ptr<ControlStore> control_;
  std::optional<privacy::MasterKeys> masters_;
  ingest::RoundKeys round_keys_;
  std::unique_ptr<ModelStore> models_;
  std::unique_ptr<kernels::Backend> backend_;
  std::string gpu_unready_;  ///< a cause of unready(); empty if there is none
  std::unique_ptr<MeteredBackend> metered_;
  kernels::Buffer slab_;
  std::unique_ptr<ingest::SlotPool> slots_;
  std::unique_ptr<ingest::Spool> spool_;
  ingest::RecoveryReport recovery_;
  ingest::KeyRing keys_;
  std::unique_ptr<BoundedQueue<ingest::Arrival>> arrivals_;
  std::unique_ptr<ingest::Service> service_;
  std::unique_ptr<Engine> engine_;
  NodeFacts facts_;
  std::function<void()> refresh_process_stats_;
  // HTTP answers from the first moment of the start on; what it shows comes later.
  std::atomic<ingest::Service*> serving_{nullptr};
  std::atomic<Admin*> answering_{nullptr};
  std::atomic<std::int64_t> pinned_bytes_{0};
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<monitoring::HttpServer> admin_http_;
  std::unique_ptr<monitoring::HttpServer> public_http_;
};

/// Operator, while no server runs: puts a new privacy ledger in the place of a population's broken
/// one, with everything assumed spent that ever was (PrivateLedgers::recover).
Status recover_ledger(const Config& config, const std::string& population);

/// Exit code for a Status that ended the server (sysexits: 65 data, 69, 70, 73, 74, 75, 77, 78).
int exit_code(const Status& status);

}  // namespace muster::server
