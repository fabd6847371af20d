#include "base/stats.h"

#include <algorithm>
#include <limits>
#include <set>

#include "base/bytes.h"
#include "base/check.h"

namespace muster {
namespace {

/// Whether the catalogue knows these labels, and this value of each.
bool is_known(const Metric& metric, const Labels& labels) {
  if (labels.size() != metric.labels.size()) return false;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const MetricLabel& known = metric.labels[i];
    if (labels[i].first != known.name) return false;
    if (!known.values.empty() &&
        std::ranges::find(known.values, std::string_view(labels[i].second)) == known.values.end())
      return false;
  }
  return true;
}

/// Labels whose values are named at run time have a stated number of them.
bool is_bounded(const MetricFamily& family) {
  for (std::size_t i = 0; i < family.metric->labels.size(); ++i) {
    std::set<std::string_view> values;
    for (const auto& [labels, series] : family.series) values.insert(labels[i].second);
    if (values.size() > family.metric->labels[i].cardinality()) return false;
  }
  return true;
}

}  // namespace

std::size_t stats_shard() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t shard =
      next.fetch_add(1, std::memory_order_relaxed) % kStatsShards;
  return shard;
}

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()),
      lines_per_shard_(divide_up(bounds.size() + 1, kLineCounts)),
      lines_(lines_per_shard_ * kStatsShards) {
  MUSTER_CHECK(std::is_sorted(bounds_.begin(), bounds_.end()));
}

std::size_t Histogram::bucket_of(double value) const {
  return static_cast<std::size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) -
                                  bounds_.begin());
}

void Histogram::observe(double value) {
  if (!stats_counting.load(std::memory_order_relaxed)) return;
  const std::size_t bucket = bucket_of(value);
  const std::size_t shard = stats_shard();
  Line& line = lines_[shard * lines_per_shard_ + bucket / kLineCounts];
  line.counts[bucket % kLineCounts].fetch_add(1, std::memory_order_relaxed);
  sums_[shard].value.fetch_add(value, std::memory_order_relaxed);
}

void Histogram::merge(std::span<const std::uint64_t> counts, double sum) {
  MUSTER_CHECK_OP(counts.size(), ==, bounds_.size() + 1);
  if (!stats_counting.load(std::memory_order_relaxed)) return;
  const std::size_t shard = stats_shard();
  for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
    if (counts[bucket] == 0) continue;
    Line& line = lines_[shard * lines_per_shard_ + bucket / kLineCounts];
    line.counts[bucket % kLineCounts].fetch_add(counts[bucket], std::memory_order_relaxed);
  }
  sums_[shard].value.fetch_add(sum, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot snapshot;
  snapshot.counts.assign(bounds_.size() + 1, 0);
  for (std::size_t shard = 0; shard < kStatsShards; ++shard) {
    for (std::size_t bucket = 0; bucket < snapshot.counts.size(); ++bucket) {
      const Line& line = lines_[shard * lines_per_shard_ + bucket / kLineCounts];
      snapshot.counts[bucket] += line.counts[bucket % kLineCounts].load(std::memory_order_relaxed);
    }
    snapshot.sum += sums_[shard].value.load(std::memory_order_relaxed);
  }
  return snapshot;
}

Tally::Tally(Histogram& into) : into_(into), counts_(into.bounds().size() + 1) { choose(0); }

void Tally::choose(double value) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  bucket_ = into_.bucket_of(value);
  above_ = bucket_ == 0 ? -kInfinite : into_.bounds()[bucket_ - 1];
  most_ = bucket_ == into_.bounds().size() ? kInfinite : into_.bounds()[bucket_];
}

void Tally::flush() {
  into_.merge(counts_, sum_);
  std::ranges::fill(counts_, 0);
  sum_ = 0;
}

double MetricFamily::value(const void* one_series) const {
  MUSTER_CHECK(metric->type != MetricType::kHistogram);
  if (metric->type == MetricType::kCounter && !fractional)
    return static_cast<double>(static_cast<const Counter*>(one_series)->value());
  return static_cast<const Gauge*>(one_series)->value();
}

void*& Stats::slot(std::string_view name, MetricType type, bool fractional, const Labels& labels) {
  auto found = families_.find(name);
  if (found == families_.end()) {
    const auto metric = std::ranges::find(catalogue_, name, &Metric::name);
    if (metric == catalogue_.end())
      check_failed("the catalogue names the metric", __FILE__, __LINE__, std::string(name));
    found = families_.emplace(std::string(name), MetricFamily{&*metric, fractional, {}}).first;
  }
  MetricFamily& family = found->second;
  MUSTER_CHECK(family.metric->type == type && family.fractional == fractional);
  MUSTER_CHECK(is_known(*family.metric, labels));
  const std::size_t before = family.series.size();
  void*& series = family.series[labels];
  MUSTER_CHECK(family.series.size() == before || is_bounded(family));
  return series;
}

Counter& Stats::counter(std::string_view name, const Labels& labels) {
  std::lock_guard lock(mutex_);
  void*& series = slot(name, MetricType::kCounter, false, labels);
  if (series == nullptr) series = &counters_.emplace_back();
  return *static_cast<Counter*>(series);
}

Gauge& Stats::gauge(std::string_view name, const Labels& labels) {
  std::lock_guard lock(mutex_);
  const bool counts = name.ends_with("_total");
  void*& series = slot(name, counts ? MetricType::kCounter : MetricType::kGauge, counts, labels);
  if (series == nullptr) series = &gauges_.emplace_back();
  return *static_cast<Gauge*>(series);
}

Histogram& Stats::histogram(std::string_view name, const Labels& labels) {
  std::lock_guard lock(mutex_);
  void*& series = slot(name, MetricType::kHistogram, false, labels);
  if (series == nullptr)
    series = &histograms_.emplace_back(bucket_bounds(families_.find(name)->second.metric->buckets));
  return *static_cast<Histogram*>(series);
}

std::vector<MetricFamily> Stats::families() const {
  std::lock_guard lock(mutex_);
  std::vector<MetricFamily> copy;
  for (const auto& [name, family] : families_) copy.push_back(family);
  return copy;
}

double Stats::total(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = families_.find(name);
  if (found == families_.end()) return 0;
  double sum = 0;
  for (const auto& [labels, series] : found->second.series) sum += found->second.value(series);
  return sum;
}

}  // namespace muster
