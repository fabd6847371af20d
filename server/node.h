// A whole server in one object: everything main() wires, in the order it must start and stop.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "server/admin.h"
#include "server/config.h"
#include "server/engine.h"

namespace muster::server {

/// start(), run() and the destructor on one thread; stop() from any thread or signal handler.
class Node {
 public:
  /// Opens the data directory ("already_locked" if a server runs there), recovers, binds, resumes.
  static Result<std::unique_ptr<Node>> start(const Config& config);
  ~Node();

  /// Works until stop() or a fault. OK after an orderly drain: everything admitted is committed,
  /// receipts are sent, open rounds wait on disk for the next start.
  Status run();
  /// Asks run() to drain and return. Async-signal-safe.
  void stop() { stopping_.store(true); }

  const NodeFacts& facts() const { return facts_; }
  Engine& engine() { return *engine_; }
  Stats& stats() { return stats_; }
  const ingest::RecoveryReport& recovery() const { return recovery_; }

 private:
  explicit Node(const Config& config);
  Status open();
  Status open_ingest(RecoveredRounds& recovered);
  Status open_http();
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
  std::unique_ptr<File> lock_;
  std::unique_ptr<ControlStore> control_;
  std::optional<privacy::MasterKeys> masters_;
  ingest::RoundKeys round_keys_;
  std::unique_ptr<ModelStore> models_;
  std::unique_ptr<kernels::Backend> backend_;
  std::string gpu_unready_;  ///< a cause of unready(); empty if there is none
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
