// The threads around Intake and Spool: one ROUTER receiver, one committer, one ZAP handler.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/queue.h"
#include "base/stats.h"
#include "base/status.h"
#include "ingest/arrival.h"
#include "ingest/intake.h"
#include "ingest/keys.h"
#include "ingest/slots.h"
#include "ingest/spool.h"

namespace muster::ingest {

struct ServiceOptions {
  std::vector<std::string> endpoints = {"tcp://127.0.0.1:7400"};
  /// CURVE with ZAP. Off is allowed on loopback and ipc only, then the routing id is the identity.
  bool curve = true;
  /// Off switches the rule above off as well. For meshes that encrypt below us; loud at start.
  bool allow_plain_anywhere = false;
  KeyPair server_key;
  int io_threads = 1;
  int receive_high_water = 4;  ///< messages per peer
  std::uint32_t max_connections = 16'384;
  std::uint32_t max_connections_per_address = 16'384;
  Nanoseconds commit_window = 2 * kMillisecond;  ///< a group waits this long for company,
  std::size_t commit_bytes = 4u << 20;           ///< or until it is this large (at most 4 times)
  /// So long a few peers' updates wait for a slot before they are refused; many are refused at
  /// once.
  Nanoseconds slot_patience = kSecond;
  /// Called about once a second, from a thread of ours, as long as both loops turn: the receiver's,
  /// and the committer's, which stands still during a sync that does not end.
  std::function<void()> on_alive = {};
};

class Service {
 public:
  /// Binds and starts the threads. `arrivals` must hold at least slots.count() + 2 * kMaxTasks
  /// items, so that a durable chunk never waits for room. `on_fault` is called once, from a thread
  /// of ours, when the spool failed: nothing more is acknowledged, the process should end (exit
  /// 74).
  static Result<std::unique_ptr<Service>> start(const ServiceOptions& options, Spool& spool,
                                                SlotPool& slots, KeyRing& keys,
                                                const NodeSecret& secret,
                                                BoundedQueue<Arrival>& arrivals, const Clock& clock,
                                                Stats& stats, std::function<void(Status)> on_fault);
  virtual ~Service() = default;

  /// From now on messages are read. Until then connections wait: a device that came back at once
  /// must not be told that its task is unknown because the rounds were still being resumed.
  virtual void serve() = 0;

  // All of these are thread-safe and take effect in order, on the receiver's thread.
  virtual void open_round(RoundSpec spec, std::vector<RecordHeader> recovered) = 0;
  /// The arrivals queue gets kRoundDrained when the last admitted chunk has been handed up.
  virtual void close_round(TaskId task, RoundNumber round) = 0;
  virtual void remember_sealed(TaskId task, const std::string& task_name, SealedRound round) = 0;
  virtual void forget_round(TaskId task, RoundNumber round) = 0;
  /// Frees the spool records of a round whose release is durable; runs on the committer.
  virtual void release_round(TaskId task, RoundNumber round) = 0;
  /// Cuts the open connections of a key (it was revoked); new messages are refused anyway.
  virtual void disconnect(const PublicKey& key) = 0;
  /// Free space is below the spool's low water: updates are put off.
  virtual bool disk_low() const { return false; }
  /// From now on every Submit and CheckIn is answered with kDraining.
  virtual void drain() = 0;
  /// Commits what was admitted, sends the receipts due, ends the threads. Idempotent.
  virtual void stop() = 0;
  /// Endpoints as bound ("tcp://127.0.0.1:7400"; a port of 0 or * is resolved).
  virtual std::vector<std::string> endpoints() const = 0;
};

}  // namespace muster::ingest
