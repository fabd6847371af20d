#include "loadtest/latency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "client/random.h"

namespace muster::loadtest {
namespace {

TEST(LatencyHistogram, KeepsThreeDigitsOfAnyDuration) {
  client::Random random(7);
  for (int i = 0; i < 20'000; ++i) {
    const auto duration = static_cast<Nanoseconds>(random.next() >> (random.below(40) + 22));
    LatencyHistogram histogram;
    histogram.record(duration);
    histogram.record(LatencyHistogram::kLongest);
    const Nanoseconds kept = histogram.percentile(50);
    const Nanoseconds clamped = std::min(duration, LatencyHistogram::kLongest);
    ASSERT_GE(kept, clamped);
    ASSERT_LE(kept - clamped, std::max<Nanoseconds>(kMicrosecond, clamped / 1000)) << duration;
  }
}

TEST(LatencyHistogram, PercentilesAreThoseOfTheSortedDurations) {
  client::Random random(11);
  LatencyHistogram histogram;
  std::vector<Nanoseconds> all;
  for (int i = 0; i < 100'000; ++i) {
    all.push_back(static_cast<Nanoseconds>(random.below(std::uint64_t{1} << 31)));
    histogram.record(all.back());
  }
  std::sort(all.begin(), all.end());
  for (const double percent : {0.001, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * 100'000)) - 1;
    const Nanoseconds exact = all[rank], kept = histogram.percentile(percent);
    EXPECT_GE(kept, exact) << percent;
    EXPECT_LE(kept - exact, exact / 1000 + kMicrosecond) << percent;
  }
  EXPECT_EQ(histogram.shortest(), all.front());
  EXPECT_EQ(histogram.longest(), all.back());
  double sum = 0;
  for (const Nanoseconds duration : all) sum += static_cast<double>(duration);
  EXPECT_NEAR(histogram.mean(), sum / 100'000, sum / 100'000 * 1e-3);
}

TEST(LatencyHistogram, MergingIsRecordingInOne) {
  client::Random random(13);
  LatencyHistogram whole, left, right;
  for (int i = 0; i < 10'000; ++i) {
    const auto duration = static_cast<Nanoseconds>(random.below(kSecond));
    whole.record(duration);
    (i % 3 == 0 ? left : right).record(duration);
  }
  left.merge(right);
  EXPECT_EQ(left.percentile_text(), whole.percentile_text());
  EXPECT_EQ(left.shortest(), whole.shortest());
}

TEST(LatencyHistogram, NothingRecordedIsZeroEverywhere) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.shortest(), 0);
  EXPECT_EQ(histogram.percentile(99), 0);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(LatencyHistogram, WritesTheTextThatPlottersRead) {
  LatencyHistogram histogram;
  histogram.record(kMillisecond, 99);
  histogram.record(2 * kSecond);
  const std::string text = histogram.percentile_text();
  EXPECT_THAT(text, testing::HasSubstr("Value     Percentile TotalCount 1/(1-Percentile)"));
  EXPECT_THAT(text, testing::HasSubstr("       1.001 0.500000000000         99           2.00\n"));
  EXPECT_THAT(text, testing::HasSubstr("    2000.000 1.000000000000        100\n"));
  EXPECT_THAT(text, testing::HasSubstr("Total count    =          100]"));
}

}  // namespace
}  // namespace muster::loadtest
