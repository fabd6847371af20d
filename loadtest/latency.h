// Durations with three significant digits, however many there are: the log-linear histogram of
// HdrHistogram (Tene), so that percentiles far out are measured and not guessed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace muster::loadtest {

/// Counts of durations. Resolution 1 microsecond below 2 milliseconds, then one part in 1024 of
/// the value or finer. One thread records; merge() adds up the workers' ones. About 180 KiB.
class LatencyHistogram {
 public:
  /// Durations above are counted as this long.
  static constexpr Nanoseconds kLongest = 3'600 * kSecond;

  LatencyHistogram();

  /// A negative duration is a bug of the caller.
  void record(Nanoseconds duration, std::uint64_t count = 1);
  void merge(const LatencyHistogram& other);

  std::uint64_t count() const { return count_; }
  /// 0 while nothing is recorded.
  Nanoseconds shortest() const { return count_ == 0 ? 0 : shortest_; }
  Nanoseconds longest() const { return longest_; }
  double mean() const;  ///< nanoseconds, of the recorded values as the cells keep them
  double standard_deviation() const;  ///< as mean()
  /// The least kept value that at least `percent` of the durations do not exceed; percent in
  /// (0, 100]. The upper end of its cell, never beyond longest(). 0 while nothing is recorded.
  Nanoseconds percentile(double percent) const;

  /// The standard text form of percentile distributions (value in milliseconds, percentile as a
  /// share, total count, 1 / (1 - share)), which the usual plotters read.
  std::string percentile_text() const;

 private:
  static std::size_t cell_of(std::uint64_t microseconds);
  /// Greatest duration of a cell.
  static Nanoseconds upper_end(std::size_t cell);
  static double middle(std::size_t cell);

  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  Nanoseconds shortest_ = kLongest;
  Nanoseconds longest_ = 0;
};

}  // namespace muster::loadtest
