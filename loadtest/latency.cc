#include "loadtest/latency.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace muster::loadtest {
namespace {

// Cells of one microsecond up to kLinear, then kHalf cells for every doubling.
constexpr std::uint64_t kLinear = 2048;
constexpr std::uint64_t kHalf = kLinear / 2;
constexpr int kHalfBits = 10;

}  // namespace

LatencyHistogram::LatencyHistogram() : counts_(cell_of(kLongest / kMicrosecond) + 1) {}

std::size_t LatencyHistogram::cell_of(std::uint64_t microseconds) {
  if (microseconds < kLinear) return microseconds;
  const int doublings = static_cast<int>(std::bit_width(microseconds)) - kHalfBits - 1;
  return kHalf * static_cast<std::uint64_t>(doublings) + (microseconds >> doublings);
}

Nanoseconds LatencyHistogram::upper_end(std::size_t cell) {
  std::uint64_t first = cell, width = 1;
  if (cell >= kLinear) {
    const std::uint64_t doublings = cell / kHalf - 1;
    first = (cell - kHalf * doublings) << doublings;
    width = std::uint64_t{1} << doublings;
  }
  return static_cast<Nanoseconds>(first + width) * kMicrosecond - 1;
}

double LatencyHistogram::middle(std::size_t cell) {
  const Nanoseconds first = cell == 0 ? 0 : upper_end(cell - 1) + 1;
  return (static_cast<double>(first) + static_cast<double>(upper_end(cell))) / 2;
}

void LatencyHistogram::record(Nanoseconds duration, std::uint64_t count) {
  MUSTER_CHECK_OP(duration, >=, 0);
  if (count == 0) return;
  duration = std::min(duration, kLongest);
  counts_[cell_of(static_cast<std::uint64_t>(duration / kMicrosecond))] += count;
  count_ += count;
  shortest_ = std::min(shortest_, duration);
  longest_ = std::max(longest_, duration);
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  shortest_ = std::min(shortest_, other.shortest_);
  longest_ = std::max(longest_, other.longest_);
}

double LatencyHistogram::mean() const {
  if (count_ == 0) return 0;
  double sum = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i)
    if (counts_[i] > 0) sum += static_cast<double>(counts_[i]) * middle(i);
  return sum / static_cast<double>(count_);
}

double LatencyHistogram::standard_deviation() const {
  if (count_ == 0) return 0;
  const double centre = mean();
  double sum = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const double off = middle(i) - centre;
    if (counts_[i] > 0) sum += static_cast<double>(counts_[i]) * off * off;
  }
  return std::sqrt(sum / static_cast<double>(count_));
}

Nanoseconds LatencyHistogram::percentile(double percent) const {
  MUSTER_CHECK(percent > 0 && percent <= 100);
  if (count_ == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(percent / 100 * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= wanted) return std::min(upper_end(i), longest_);
  }
  return longest_;
}

std::string LatencyHistogram::percentile_text() const {
  std::string text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n";
  const auto line = [&](double percent) {
    const double share = percent / 100;
    const Nanoseconds value = percentile(percent);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < counts_.size() && upper_end(i) <= std::max(value, Nanoseconds{1});
         ++i)
      below += counts_[i];
    if (value >= longest_) below = count_;
    text += fmt::format("{:12.3f} {:14.12f} {:10d}", static_cast<double>(value) / kMillisecond,
                        share, below);
    text += share < 1 ? fmt::format(" {:14.2f}\n", 1 / (1 - share)) : std::string("\n");
  };
  // Five steps for every halving of what is left.
  double left = 100;
  for (int halving = 0; halving < 24 && count_ > 0; ++halving, left /= 2) {
    for (int step = 1; step <= 5; ++step) line(100 - left + left / 2 * step / 5);
    if (percentile(100 - left / 2) >= longest_) break;
  }
  if (count_ > 0) line(100);
  text += fmt::format("#[Mean    = {:12.3f}, StdDeviation   = {:12.3f}]\n", mean() / kMillisecond,
                      standard_deviation() / kMillisecond);
  text += fmt::format("#[Max     = {:12.3f}, Total count    = {:12d}]\n",
                      static_cast<double>(longest_) / kMillisecond, count_);
  return text;
}

}  // namespace muster::loadtest
