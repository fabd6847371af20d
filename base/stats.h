// What rooms count: counters, gauges and histograms, named by the catalogue. Only monitoring/ knows
// how they are shown to the outside.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"

namespace muster {

/// A thread's own shard index, so that counting threads do not share a cache line.
std::size_t stats_shard();
inline constexpr std::size_t kStatsShards = 8;

/// Off: counters and histograms stand still. For benches that measure what counting costs.
inline std::atomic<bool> stats_counting{true};

/// Only grows. Thread-safe; add() is one relaxed add on this thread's cache line.
class Counter {
 public:
  void add(std::uint64_t n = 1) {
    if (!stats_counting.load(std::memory_order_relaxed)) return;
    shards_[stats_shard()].value.fetch_add(n, std::memory_order_relaxed);
  }
  std::uint64_t value() const {
    std::uint64_t sum = 0;
    for (const auto& shard : shards_) sum += shard.value.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> value{0};
  };
  std::array<Shard, kStatsShards> shards_;
};

/// Goes up and down. Thread-safe; one thread decides between set() and run().
class Gauge {
 public:
  void set(double value) {
    value_.store(value, std::memory_order_relaxed);
    clock_.store(nullptr, std::memory_order_release);
  }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  /// Until the next set() the value is the seconds since `start`, as of when it is read: it goes on
  /// while the thread that counts stands still. `clock` outlives all reading.
  void run(const Clock& clock, Nanoseconds start) {
    start_.store(start, std::memory_order_relaxed);
    clock_.store(&clock, std::memory_order_release);
  }
  double value() const {
    const Clock* const clock = clock_.load(std::memory_order_acquire);
    if (clock == nullptr) return value_.load(std::memory_order_relaxed);
    const Nanoseconds age = clock->now() - start_.load(std::memory_order_relaxed);
    return static_cast<double>(age) / kSecond;
  }

 private:
  std::atomic<double> value_{0};
  std::atomic<Nanoseconds> start_{0};
  std::atomic<const Clock*> clock_{nullptr};
};

/// Counts of observations per bucket, and their sum. Thread-safe; observe() touches only cache
/// lines of this thread's shard.
class Histogram {
 public:
  /// `bounds`: ascending upper bounds; one more bucket takes the rest.
  explicit Histogram(std::span<const double> bounds);
  void observe(double value);
  /// Observations counted elsewhere with the same bounds: one count a bucket, and their sum.
  void merge(std::span<const std::uint64_t> counts, double sum);
  /// The bucket of a value: 0 to bounds().size().
  std::size_t bucket_of(double value) const;

  struct Snapshot {
    std::vector<std::uint64_t> counts;  ///< per bucket, not cumulative; bounds().size() + 1
    double sum = 0;
  };
  Snapshot snapshot() const;
  std::span<const double> bounds() const { return bounds_; }

 private:
  static constexpr std::size_t kLineCounts = 8;
  struct alignas(64) Line {
    std::array<std::atomic<std::uint64_t>, kLineCounts> counts{};
  };
  struct alignas(64) Sum {
    std::atomic<double> value{0};
  };
  std::vector<double> bounds_;
  std::size_t lines_per_shard_;
  std::vector<Line> lines_;
  std::array<Sum, kStatsShards> sums_;
};

/// Observations of one thread in plain memory, until flush() hands them to their histogram: for
/// what comes by the thousand. Neighbours tend to be alike, so the last bucket is tried first.
class Tally {
 public:
  /// `into` outlives it.
  explicit Tally(Histogram& into);
  void observe(double value) {
    if (!stats_counting.load(std::memory_order_relaxed)) return;
    if (!(value > above_ && value <= most_)) choose(value);
    ++counts_[bucket_];
    sum_ += value;
  }
  void flush();

 private:
  void choose(double value);

  Histogram& into_;
  std::size_t bucket_ = 0;
  double above_, most_;  ///< of bucket_
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

/// One metric with all its label sets.
struct MetricFamily {
  const Metric* metric = nullptr;
  bool fractional = false;         ///< a counter kept in gauges: totals of seconds
  std::map<Labels, void*> series;  ///< Counter*, Gauge* or Histogram*; owned by Stats

  /// The value of a counter's or gauge's series.
  double value(const void* one_series) const;
};

/// The tree. Registering takes a lock and may allocate; do it at start or when a task opens. Names,
/// labels and values are those of the catalogue: anything else is a bug and ends the process.
/// Returned references live as long as the Stats.
class Stats {
 public:
  /// `catalogue` outlives it.
  explicit Stats(std::span<const Metric> catalogue = metric_catalogue()) : catalogue_(catalogue) {}

  Counter& counter(std::string_view name, const Labels& labels = {});
  /// A gauge; or a counter that has fractions, and is only ever added to or set to more.
  Gauge& gauge(std::string_view name, const Labels& labels = {});
  Histogram& histogram(std::string_view name, const Labels& labels = {});
  /// A copy of the tree's shape, names ascending; the values are read through the pointers.
  std::vector<MetricFamily> families() const;
  /// Sum over all series of a counter or gauge; 0 where there is none.
  double total(std::string_view name) const;

 private:
  void*& slot(std::string_view name, MetricType type, bool fractional, const Labels& labels);

  std::span<const Metric> catalogue_;
  mutable std::mutex mutex_;  // registering and scraping only; counting never takes it
  std::map<std::string, MetricFamily, std::less<>> families_;
  std::deque<Counter> counters_;
  std::deque<Gauge> gauges_;
  std::deque<Histogram> histograms_;
};

}  // namespace muster
