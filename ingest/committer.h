// The thread that makes admitted chunks durable, group by group, and hands them up.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/queue.h"
#include "base/stats.h"
#include "base/status.h"
#include "ingest/arrival.h"
#include "ingest/slots.h"
#include "ingest/spool.h"
#include "ingest/wake.h"

namespace muster::ingest {

struct Admitted {
  SlotIndex slot = kNoSlot;
  std::uint32_t bytes = 0;  ///< of its record
  Nanoseconds received = 0;
};

struct CommitOptions {
  Nanoseconds window = 2 * kMillisecond;
  std::size_t bytes = 4u << 20;
  /// A full disk is waited for this long (rounds that end free segments), then it is a fault.
  Nanoseconds disk_full_patience = 30 * kSecond;
};

class Committer {
 public:
  Committer(Spool& spool, const SlotPool& slots, BoundedQueue<Arrival>& arrivals, WakeUp& receiver,
            const CommitOptions& options, Stats& stats, std::function<void(Status)> on_fault);
  ~Committer();

  /// Receiver: these slots are filled. Kept in order.
  void admit(std::span<const Admitted> chunks);
  /// Receiver: appends the slots that became durable since the last call.
  void take_durable(std::vector<SlotIndex>& slots);

  void release_round(TaskId task, RoundNumber round);
  bool disk_low() const { return disk_low_.load(std::memory_order_relaxed); }
  /// The spool failed; nothing more will become durable.
  bool faulted() const { return faulted_.load(std::memory_order_acquire); }
  /// When the thread last came round, on the steady clock: it does at least every 250 ms, but for
  /// the time a commit takes.
  Nanoseconds last_turn() const { return last_turn_.load(std::memory_order_relaxed); }
  /// How long the last group took from its first chunk to its sync.
  Nanoseconds queue_age() const { return queue_age_.load(std::memory_order_relaxed); }

  /// Commits what was admitted and ends the thread. Idempotent.
  void stop();

 private:
  using Time = std::chrono::steady_clock::time_point;

  void run();
  /// Moves the next group to `group`; false when there will be none.
  bool collect(std::vector<Admitted>& group);
  void commit(const std::vector<Admitted>& group);
  /// Releases asked for, and a look at the disk.
  void keep_house(std::unique_lock<std::mutex>& lock);
  void fail(Status status);

  Spool& spool_;
  const SlotPool& slots_;
  BoundedQueue<Arrival>& arrivals_;
  WakeUp& receiver_;
  const CommitOptions options_;
  const std::function<void(Status)> on_fault_;

  std::atomic<bool> disk_low_{false};
  std::atomic<bool> faulted_{false};
  std::atomic<Nanoseconds> queue_age_{0};
  std::atomic<Nanoseconds> last_turn_{0};
  Tally queue_seconds_;
  Histogram& commit_seconds_;

  // A BoundedQueue would wake this thread for every chunk of a group it is waiting to fill; here
  // the receiver hands over many chunks at once, and wakes it for the first and for a full group
  // only. The bound is the number of slots. Held for a few moves of small items on either side.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Admitted> waiting_;
  std::size_t waiting_bytes_ = 0;
  Time oldest_;
  std::vector<std::pair<TaskId, RoundNumber>> releases_;
  std::vector<SlotIndex> durable_;
  bool stopping_ = false;

  Time group_began_;
  std::size_t last_group_ = 0;
  std::vector<PendingRecord> records_;
  std::vector<Arrival> arriving_;
  std::thread thread_;
};

}  // namespace muster::ingest
