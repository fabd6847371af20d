#include "base/stats.h"

#include <algorithm>

#include "base/check.h"

namespace muster {

std::size_t stats_shard() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t shard =
      next.fetch_add(1, std::memory_order_relaxed) % kStatsShards;
  return shard;
}

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  MUSTER_CHECK(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double value) {
  auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot snapshot;
  for (const auto& count : counts_)
    snapshot.counts.push_back(count.load(std::memory_order_relaxed));
  snapshot.sum = sum_.load(std::memory_order_relaxed);
  return snapshot;
}

std::vector<double> latency_bounds() {
  return {50e-6, 125e-6, 300e-6, 750e-6, 2e-3, 5e-3, 12e-3, 30e-3,
          75e-3, 0.2,    0.5,    1.2,    3,    7.5,  20,    60};
}

MetricFamily& Stats::family(MetricFamily::Kind kind, std::string_view name, std::string_view help) {
  auto found = families_.find(name);
  if (found == families_.end()) {
    MetricFamily fresh{kind, std::string(name), std::string(help), {}};
    found = families_.emplace(std::string(name), std::move(fresh)).first;
  }
  MUSTER_CHECK(found->second.kind == kind);
  return found->second;
}

Counter& Stats::counter(std::string_view name, std::string_view help, const Labels& labels) {
  std::lock_guard lock(mutex_);
  void*& slot = family(MetricFamily::Kind::kCounter, name, help).series[labels];
  if (slot == nullptr) slot = &counters_.emplace_back();
  return *static_cast<Counter*>(slot);
}

Gauge& Stats::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  std::lock_guard lock(mutex_);
  void*& slot = family(MetricFamily::Kind::kGauge, name, help).series[labels];
  if (slot == nullptr) slot = &gauges_.emplace_back();
  return *static_cast<Gauge*>(slot);
}

Histogram& Stats::histogram(std::string_view name, std::string_view help,
                            std::vector<double> bounds, const Labels& labels) {
  std::lock_guard lock(mutex_);
  void*& slot = family(MetricFamily::Kind::kHistogram, name, help).series[labels];
  if (slot == nullptr) slot = &histograms_.emplace_back(std::move(bounds));
  return *static_cast<Histogram*>(slot);
}

std::vector<MetricFamily> Stats::families() const {
  std::lock_guard lock(mutex_);
  std::vector<MetricFamily> copy;
  for (const auto& [name, family] : families_) copy.push_back(family);
  return copy;
}

}  // namespace muster
