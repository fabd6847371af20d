// Every metric Muster exports, in one table: the catalogue. Whoever counts takes a name from here;
// Stats accepts no other, and no label or value that is not named here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster {

enum class MetricType : std::uint8_t { kCounter, kGauge, kHistogram };
std::string_view metric_type_name(MetricType type);

/// Upper bounds of a histogram's buckets.
enum class BucketScale : std::uint8_t {
  kNone,     ///< not a histogram
  kLatency,  ///< seconds: powers of about 2.5 from 50 microseconds to 60 s
  kRecords,  ///< powers of two from 1 to 4096
  kNorm,     ///< half decades from 0.001 to 10,000
};
std::span<const double> bucket_bounds(BucketScale scale);

struct MetricLabel {
  std::string_view name;
  /// All values there can be. Empty: values are named at run time, but no more than `at_most`.
  std::vector<std::string_view> values;
  std::size_t at_most = 0;

  std::size_t cardinality() const { return values.empty() ? at_most : values.size(); }
};

struct Metric {
  std::string_view group;  ///< "ingest", "durability", "round", "robust", "privacy", ...
  std::string_view name;
  MetricType type = MetricType::kCounter;
  std::string_view unit;  ///< "seconds", "bytes", "updates", ...; "1" for a plain number
  std::vector<MetricLabel> labels;
  std::string_view meaning;
  BucketScale buckets = BucketScale::kNone;
  /// Depends on the data of single devices: not exported for tasks with differential privacy, where
  /// it would be a release outside the privacy statement.
  bool data_dependent = false;
  std::string_view since = "0.1.0";

  /// Most series it can have on a node with `tasks` tasks; a histogram has one a bucket, and three.
  std::size_t most_series(std::size_t tasks) const;
};

/// The catalogue, in the order of docs/metrics.md.
std::span<const Metric> metric_catalogue();

}  // namespace muster
