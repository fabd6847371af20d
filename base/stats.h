// What rooms count: counters, gauges and histograms in a named tree. Only monitoring/ knows how the
// tree is shown to the outside.
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

namespace muster {

/// A thread's own shard index, so that counting threads do not share a cache line.
std::size_t stats_shard();
inline constexpr std::size_t kStatsShards = 8;

/// Only grows. Thread-safe; add() is one relaxed add on this thread's cache line.
class Counter {
 public:
  void add(std::uint64_t n = 1) {
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

/// Goes up and down. Thread-safe.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

/// Counts of observations per bucket, and their sum. Thread-safe.
class Histogram {
 public:
  /// `bounds`: ascending upper bounds; one more bucket takes the rest.
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);

  struct Snapshot {
    std::vector<std::uint64_t> counts;  ///< per bucket, not cumulative; bounds().size() + 1
    double sum = 0;
  };
  Snapshot snapshot() const;
  std::span<const double> bounds() const { return bounds_; }

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

/// Powers of about 2.5 from 50 microseconds to 60 seconds (operations: latency histograms).
std::vector<double> latency_bounds();

using Labels = std::vector<std::pair<std::string, std::string>>;

/// One name in the tree with all its label sets.
struct MetricFamily {
  enum class Kind : std::uint8_t { kCounter, kGauge, kHistogram };
  Kind kind;
  std::string name;  ///< full exported name, "muster_updates_received_total"
  std::string help;
  std::map<Labels, void*> series;  ///< Counter*, Gauge* or Histogram* by kind; owned by Stats
};

/// The tree. Registering takes a lock and may allocate; do it at start or when a task opens.
/// Returned references live as long as the Stats.
class Stats {
 public:
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       const Labels& labels = {});
  /// A copy of the tree's shape, names ascending; the values are read through the pointers.
  std::vector<MetricFamily> families() const;

 private:
  MetricFamily& family(MetricFamily::Kind kind, std::string_view name, std::string_view help);

  mutable std::mutex mutex_;
  std::map<std::string, MetricFamily, std::less<>> families_;
  std::deque<Counter> counters_;
  std::deque<Gauge> gauges_;
  std::deque<Histogram> histograms_;
};

}  // namespace muster
