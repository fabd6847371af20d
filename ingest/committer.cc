#include "ingest/committer.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace muster::ingest {
namespace {

// RecordHeader counts a group in 16 bits; a quarter of that is past where groups get faster.
constexpr std::size_t kGroupRecords = 16'384;
// From this many records in a group on, the next one waits longer.
constexpr std::size_t kBusyRecords = 128;
// A group that has waited may be this many times as long as one that is waited for.
constexpr std::size_t kMostGroups = 4;
// Between looks at the disk's free space while nothing happens, and between tries on a full one.
constexpr std::chrono::milliseconds kHousekeeping{250};

/// As Clock::now() of the system's clock says.
Nanoseconds steady_now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

double seconds(Nanoseconds time) { return static_cast<double>(time) / kSecond; }

}  // namespace

Committer::Committer(Spool& spool, const SlotPool& slots, BoundedQueue<Arrival>& arrivals,
                     WakeUp& receiver, const CommitOptions& options, Stats& stats,
                     std::function<void(Status)> on_fault)
    : spool_(spool),
      slots_(slots),
      arrivals_(arrivals),
      receiver_(receiver),
      options_(options),
      on_fault_(std::move(on_fault)),
      disk_low_(spool.low_on_space()),
      last_turn_(steady_now()),
      queue_seconds_(stats.histogram("muster_ingest_queue_duration_seconds")),
      commit_seconds_(stats.histogram("muster_spool_commit_duration_seconds")) {
  waiting_.reserve(slots.count());
  durable_.reserve(slots.count());
  records_.reserve(std::min(slots.count(), kGroupRecords));
  arriving_.reserve(records_.capacity());
  thread_ = std::thread([this] { run(); });
}

Committer::~Committer() { stop(); }

void Committer::admit(std::span<const Admitted> chunks) {
  if (chunks.empty()) return;
  bool wake;
  {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) oldest_ = std::chrono::steady_clock::now();
    const bool first = waiting_.empty();
    const bool was_full = waiting_bytes_ >= options_.bytes;
    for (const Admitted& chunk : chunks) {
      waiting_.push_back(chunk);
      waiting_bytes_ += chunk.bytes;
    }
    const bool is_full = waiting_bytes_ >= options_.bytes || slots_.free_count() == 0;
    wake = first || (is_full && !was_full);
  }
  if (wake) changed_.notify_one();
}

void Committer::take_durable(std::vector<SlotIndex>& slots) {
  std::lock_guard lock(mutex_);
  slots.insert(slots.end(), durable_.begin(), durable_.end());
  durable_.clear();
}

void Committer::release_round(TaskId task, RoundNumber round) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;  // recovery finds the round again, and the server releases it again
    releases_.emplace_back(task, round);
  }
  changed_.notify_one();
}

void Committer::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Committer::run() {
  set_log_component("spool");
  std::vector<Admitted> group;
  group.reserve(records_.capacity());
  while (collect(group)) {
    if (!faulted()) commit(group);
    group.clear();
  }
}

void Committer::keep_house(std::unique_lock<std::mutex>& lock) {
  last_turn_.store(steady_now(), std::memory_order_relaxed);
  const auto releases = std::exchange(releases_, {});
  lock.unlock();
  for (const auto& [task, round] : releases) {
    if (faulted()) break;
    Status status = spool_.release_round(task, round);
    if (!status.ok()) fail(std::move(status));
  }
  disk_low_.store(spool_.low_on_space(), std::memory_order_relaxed);
  lock.lock();
}

bool Committer::collect(std::vector<Admitted>& group) {
  std::unique_lock lock(mutex_);
  for (;;) {
    keep_house(lock);
    if (!waiting_.empty()) break;
    if (stopping_ && releases_.empty()) return false;
    changed_.wait_for(lock, kHousekeeping,
                      [&] { return stopping_ || !waiting_.empty() || !releases_.empty(); });
  }
  // Company for the group, unless none can come. Where many come, a little more patience halves the
  // syncs and receipts; a lone device never pays for that.
  const Nanoseconds window = last_group_ < kBusyRecords ? options_.window : options_.window * 5 / 2;
  changed_.wait_until(lock, oldest_ + std::chrono::nanoseconds(window), [&] {
    return stopping_ || waiting_bytes_ >= options_.bytes || slots_.free_count() == 0;
  });
  group_began_ = oldest_;
  std::size_t bytes = 0;
  std::size_t count = 0;
  // What came while the last group was on its way goes along: a longer write costs less per byte.
  while (count < waiting_.size() && count < kGroupRecords && bytes < kMostGroups * options_.bytes)
    bytes += waiting_[count++].bytes;
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
  group.assign(waiting_.begin(), end);
  waiting_.erase(waiting_.begin(), end);
  waiting_bytes_ -= bytes;
  last_group_ = count;
  return true;
}

void Committer::commit(const std::vector<Admitted>& group) {
  const auto begin = std::chrono::steady_clock::now();
  const Nanoseconds begin_ns = begin.time_since_epoch() / std::chrono::nanoseconds(1);
  records_.clear();
  for (const Admitted& chunk : group)
    queue_seconds_.observe(seconds(std::max<Nanoseconds>(0, begin_ns - chunk.received)));
  queue_seconds_.flush();
  for (const Admitted& chunk : group) records_.push_back({slots_.bytes(chunk.slot), {}});
  Status status = spool_.commit(records_);
  // Nothing was written: keep the group, let rounds that end free segments, try again.
  while (status.reason() == "disk_full") {
    log_warning("disk_full", "the spool has no room: admitted chunks wait for it",
                {{"chunks", group.size()}});
    std::unique_lock lock(mutex_);
    if (stopping_ || std::chrono::steady_clock::now() - begin >
                         std::chrono::nanoseconds(options_.disk_full_patience))
      break;
    changed_.wait_for(lock, kHousekeeping, [&] { return stopping_ || !releases_.empty(); });
    keep_house(lock);
    disk_low_.store(true, std::memory_order_relaxed);
    lock.unlock();
    if (faulted()) return;
    status = spool_.commit(records_);
  }
  if (!status.ok()) return fail(std::move(status));
  commit_seconds_.observe(seconds(steady_now() - begin_ns));
  arriving_.clear();
  for (std::size_t i = 0; i < group.size(); ++i) {
    Arrival& arrival = arriving_.emplace_back();
    arrival.slot = group[i].slot;
    arrival.header = load<RecordHeader>(records_[i].slot);
    arrival.location = records_[i].location;
    arrival.received = group[i].received;
  }
  // Room for every slot was promised; a closed queue means that nobody listens any more.
  MUSTER_CHECK(arrivals_.try_push_many(arriving_) || arrivals_.closed());
  {
    std::lock_guard lock(mutex_);
    for (const Admitted& chunk : group) durable_.push_back(chunk.slot);
  }
  queue_age_.store((std::chrono::steady_clock::now() - group_began_) / std::chrono::nanoseconds(1),
                   std::memory_order_relaxed);
  receiver_.signal();
}

void Committer::fail(Status status) {
  if (faulted_.exchange(true, std::memory_order_acq_rel)) return;
  log_error("spool_fault", "nothing more is acknowledged", {{"why", status.to_string()}});
  on_fault_(std::move(status));
  receiver_.signal();
}

}  // namespace muster::ingest
