#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <regex>
#include <set>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/queue.h"
#include "base/stats.h"
#include "base/status.h"

namespace muster {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Status(Code::kInvalid, "odd", "value is odd");
  return value / 2;
}
Result<int> quarter(int value) {
  MUSTER_ASSIGN(const int once, half(value));
  return half(once);
}

TEST(Status, CarriesCodeReasonAndMessage) {
  const Status status(Code::kStale, "round_closed", "round 3 is closed");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kStale);
  EXPECT_EQ(status.to_string(), "round_closed: round 3 is closed");
  EXPECT_EQ(Status(status).with_context("task a").message(), "task a: round 3 is closed");
  EXPECT_TRUE(Status().ok());
}

TEST(Result, PropagatesThroughAssign) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).status().reason(), "odd");
}

TEST(ResultDeathTest, ValueOfAnErrorIsABug) {
  const auto result = half(3);
  EXPECT_DEATH((void)result.value(), "value is odd");
}

TEST(Bytes, CheckedArithmeticFindsOverflow) {
  EXPECT_EQ(checked_multiply<std::uint32_t>(65'536, 65'535), 4'294'901'760u);
  EXPECT_FALSE(checked_multiply<std::uint32_t>(65'536, 65'536).has_value());
  EXPECT_FALSE(checked_add<std::uint64_t>(~0ull, 1).has_value());
  EXPECT_FALSE(checked_narrow<std::uint8_t>(256).has_value());
  EXPECT_FALSE(checked_narrow<std::uint32_t>(-1).has_value());
  EXPECT_EQ(align_up(65, 64), 128u);
  EXPECT_EQ(divide_up<std::uint64_t>(65'537, 65'536), 2u);
}

TEST(Hash, CopyWithChecksumEqualsChecksumAtEverySize) {
  std::vector<std::byte> source(100'003), target(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 31 >> 3);
  for (const std::size_t n :
       {0ul, 1ul, 31ul, 240ul, 241ul, 16'384ul, 16'385ul, 65'536ul, source.size()}) {
    const auto hash =
        copy_with_checksum(MutableBytes(target).first(n), ConstBytes(source).first(n));
    EXPECT_EQ(hash, checksum(ConstBytes(source).first(n))) << n;
    EXPECT_TRUE(std::equal(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(n),
                           target.begin()));
  }
}

TEST(Codec, PayloadBytesFollowTheLayout) {
  EXPECT_EQ(payload_bytes({Codec::kF32, 0}, 7), 28u);
  EXPECT_EQ(payload_bytes({Codec::kF16, 0}, 7), 14u);
  EXPECT_EQ(payload_bytes({Codec::kI8B, 6}, 65), 65u + 8u);
  EXPECT_EQ(payload_bytes({Codec::kI8S, 6}, 65), 65u);
  EXPECT_EQ(parse_codec("i8b"), Codec::kI8B);
  EXPECT_FALSE(parse_codec("int8").has_value());
}

TEST(BoundedQueue, IsFirstInFirstOutAndBounded) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  std::vector<int> out;
  EXPECT_EQ(queue.pop_many(out, 10, 0), 2u);
  EXPECT_EQ(out, (std::vector<int>{1, 2}));
}

TEST(BoundedQueue, CloseWakesWaitersAndDrains) {
  BoundedQueue<int> queue(1);
  ASSERT_TRUE(queue.push(1));
  std::thread blocked([&] { EXPECT_FALSE(queue.push(2)); });
  queue.close();
  blocked.join();
  std::vector<int> out;
  EXPECT_EQ(queue.pop_many(out, 10, kSecond), 1u);
  EXPECT_EQ(queue.pop_many(out, 10, kSecond), 0u);
}

TEST(BoundedQueue, CarriesEveryItemBetweenThreads) {
  BoundedQueue<std::uint64_t> queue(16);
  constexpr std::uint64_t kItems = 20'000;
  std::thread producer([&] {
    for (std::uint64_t i = 1; i <= kItems; ++i) ASSERT_TRUE(queue.push(i));
    queue.close();
  });
  std::uint64_t sum = 0, count = 0;
  std::vector<std::uint64_t> batch;
  while (true) {
    batch.clear();
    if (queue.pop_many(batch, 8, kSecond) == 0) break;
    for (const auto item : batch) EXPECT_EQ(item, ++count);
    for (const auto item : batch) sum += item;
  }
  producer.join();
  EXPECT_EQ(sum, kItems * (kItems + 1) / 2);
}

constexpr MetricType kCounter = MetricType::kCounter;
const std::vector<Metric> kSmallCatalogue = {
    {"test", "muster_x_total", kCounter, "1", {{"reason", {"a", "b"}}}, "x"},
    {"test", "muster_y_seconds", MetricType::kHistogram, "seconds", {}, "y", BucketScale::kRecords},
    {"test", "muster_z", MetricType::kGauge, "1", {{"task", {}, 2}}, "z"},
};

TEST(Stats, OneNameAndLabelSetIsOneSeries) {
  Stats stats(kSmallCatalogue);
  Counter& a = stats.counter("muster_x_total", {{"reason", "a"}});
  EXPECT_EQ(&a, &stats.counter("muster_x_total", {{"reason", "a"}}));
  EXPECT_NE(&a, &stats.counter("muster_x_total", {{"reason", "b"}}));
  a.add(3);
  EXPECT_EQ(a.value(), 3u);
  EXPECT_EQ(stats.total("muster_x_total"), 3);
  auto& histogram = stats.histogram("muster_y_seconds");
  for (const double value : {0.5, 1.0, 1.5, 9000.0}) histogram.observe(value);
  const auto snapshot = histogram.snapshot();
  EXPECT_EQ(snapshot.counts,
            (std::vector<std::uint64_t>{2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_DOUBLE_EQ(snapshot.sum, 9003.0);
  EXPECT_EQ(stats.families().size(), 2u);
}

TEST(Stats, ManyThreadsLoseNoCount) {
  Stats stats(kSmallCatalogue);
  Counter& counter = stats.counter("muster_x_total", {{"reason", "a"}});
  Histogram& histogram = stats.histogram("muster_y_seconds");
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        counter.add();
        histogram.observe(i % 3);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 60'000u);
  const auto snapshot = histogram.snapshot();
  EXPECT_EQ(snapshot.counts[0] + snapshot.counts[1], 60'000u);
  EXPECT_DOUBLE_EQ(snapshot.sum, 12 * 4'999.0);
}

TEST(Gauge, RunsFromAStartUntilItIsSet) {
  ManualClock clock(5 * kSecond);
  Gauge gauge;
  gauge.set(7);
  gauge.run(clock, 3 * kSecond);
  EXPECT_EQ(gauge.value(), 2);
  clock.advance(kSecond / 2);
  EXPECT_EQ(gauge.value(), 2.5);
  gauge.run(clock, 5 * kSecond);
  EXPECT_EQ(gauge.value(), 0.5);
  gauge.set(gauge.value());
  clock.advance(kSecond);
  EXPECT_EQ(gauge.value(), 0.5);
}

TEST(Tally, CountsLikeItsHistogramAndHandsOverAtOnce) {
  Stats stats(kSmallCatalogue);
  Histogram& histogram = stats.histogram("muster_y_seconds");
  const auto bounds = histogram.bounds();
  Histogram direct(bounds);
  Tally tally(histogram);
  // On, just under and just over every bound, up and down again.
  std::vector<double> values = {-1.0, 0.0, 1e300};
  for (const double bound : bounds)
    for (const double value : {bound, std::nextafter(bound, 0.0), std::nextafter(bound, 1e300)})
      values.push_back(value);
  for (std::size_t i = values.size(); i-- > 0;) values.push_back(values[i]);
  for (const double value : values) {
    direct.observe(value);
    tally.observe(value);
  }
  for (const std::uint64_t count : histogram.snapshot().counts) EXPECT_EQ(count, 0u);
  tally.flush();
  EXPECT_EQ(histogram.snapshot().counts, direct.snapshot().counts);
  EXPECT_DOUBLE_EQ(histogram.snapshot().sum, direct.snapshot().sum);
  tally.flush();  // nothing twice
  EXPECT_EQ(histogram.snapshot().counts, direct.snapshot().counts);
}

TEST(StatsDeath, WhatTheCatalogueDoesNotNameIsABug) {
  Stats stats(kSmallCatalogue);
  EXPECT_DEATH(stats.counter("muster_w_total"), "muster_w_total");
  EXPECT_DEATH(stats.counter("muster_x_total"), "is_known");
  EXPECT_DEATH(stats.counter("muster_x_total", {{"reason", "c"}}), "is_known");
  EXPECT_DEATH(stats.counter("muster_x_total", {{"why", "a"}}), "is_known");
  EXPECT_DEATH(stats.gauge("muster_y_seconds"), "type");
  stats.gauge("muster_z", {{"task", "one"}});
  stats.gauge("muster_z", {{"task", "two"}});
  EXPECT_DEATH(stats.gauge("muster_z", {{"task", "three"}}), "is_bounded");
}

TEST(MetricCatalogue, KeepsTheRulesOfNaming) {
  const std::regex name("muster_[a-z0-9_]+");
  std::set<std::string_view> names, groups;
  std::string_view group;
  for (const Metric& metric : metric_catalogue()) {
    const std::string shown(metric.name);
    EXPECT_TRUE(std::regex_match(shown, name)) << shown;
    EXPECT_TRUE(names.insert(metric.name).second) << shown << " is there twice";
    EXPECT_EQ(shown.ends_with("_total"), metric.type == kCounter) << shown;
    if (metric.unit == "seconds" || metric.unit == "bytes" || metric.unit == "ratio") {
      EXPECT_NE(shown.find(fmt::format("_{}", metric.unit)), std::string::npos) << shown;
    }
    EXPECT_EQ(metric.type == MetricType::kHistogram, metric.buckets != BucketScale::kNone) << shown;
    EXPECT_TRUE(metric.meaning.ends_with(".")) << shown;
    EXPECT_FALSE(metric.since.empty()) << shown;
    for (const MetricLabel& label : metric.labels) {
      EXPECT_GT(label.cardinality(), 0u) << shown << " has an open label";
      // Operations of a backend are called kernels, and this one metric is about all of them.
      if (label.name != "kernel") {
        EXPECT_EQ(shown.find(fmt::format("_{}_", label.name)), std::string::npos) << shown;
      }
      for (const char* banned : {"device_id", "key", "address", "round", "peer"})
        EXPECT_NE(label.name, banned) << shown;
    }
    if (metric.group != group) {
      EXPECT_TRUE(groups.insert(metric.group).second) << metric.group << " is in two places";
      group = metric.group;
    }
  }
}

TEST(MetricCatalogue, StaysWithinItsSeriesBudget) {
  std::size_t series = 0;
  for (const Metric& metric : metric_catalogue()) series += metric.most_series(1);
  RecordProperty("series", static_cast<int>(series));
  std::printf("series for one task, at most: %zu of 1500\n", series);
  EXPECT_LE(series, 1'500u);
}

}  // namespace
}  // namespace muster
