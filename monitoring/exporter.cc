#include "monitoring/exporter.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <string_view>
#include <utility>

#include "base/check.h"

namespace muster::monitoring {
namespace {

prometheus::MetricType shown_type(const Metric& metric) {
  switch (metric.type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricType::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  MUSTER_CHECK(false);
}

/// The serializer escapes label values but writes help as it is.
std::string escape_help(std::string_view help) {
  std::string escaped;
  for (const char c : help) {
    if (c == '\n') {
      escaped += "\\n";
      continue;
    }
    if (c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

/// One snapshot gives buckets and count, so that a scrape never sees a bucket above its count.
prometheus::ClientMetric::Histogram convert(const Histogram& histogram) {
  const Histogram::Snapshot snapshot = histogram.snapshot();
  prometheus::ClientMetric::Histogram shown;
  shown.sample_sum = snapshot.sum;
  const auto bounds = histogram.bounds();
  for (std::size_t i = 0; i < snapshot.counts.size(); ++i) {
    shown.sample_count += snapshot.counts[i];
    if (i < bounds.size()) shown.bucket.push_back({shown.sample_count, bounds[i]});
  }
  return shown;
}

prometheus::ClientMetric convert(const MetricFamily& family, const Labels& labels,
                                 const void* series) {
  prometheus::ClientMetric shown;
  for (const auto& [name, value] : labels) shown.label.push_back({name, value});
  if (family.metric->type == MetricType::kHistogram)
    shown.histogram = convert(*static_cast<const Histogram*>(series));
  else if (family.metric->type == MetricType::kCounter)
    shown.counter.value = family.value(series);
  else
    shown.gauge.value = family.value(series);
  return shown;
}

}  // namespace

std::string prometheus_text(const Stats& stats) {
  std::vector<prometheus::MetricFamily> shown;
  for (const MetricFamily& family : stats.families()) {
    prometheus::MetricFamily out;
    out.name = family.metric->name;
    out.help = escape_help(family.metric->meaning);
    out.type = shown_type(*family.metric);
    for (const auto& [labels, series] : family.series)
      out.metric.push_back(convert(family, labels, series));
    shown.push_back(std::move(out));
  }
  return prometheus::TextSerializer().Serialize(shown);
}

}  // namespace muster::monitoring
