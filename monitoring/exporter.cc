#include "monitoring/exporter.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace muster::monitoring {
namespace {

/// What a family is shown as.
prometheus::MetricType shown_type(const MetricFamily& family) {
  switch (family.kind) {
    case MetricFamily::Kind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricFamily::Kind::kGauge:
      return family.name.ends_with("_total") ? prometheus::MetricType::Counter
                                             : prometheus::MetricType::Gauge;
    case MetricFamily::Kind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  MUSTER_CHECK(false);
}

std::string_view type_name(prometheus::MetricType type) {
  if (type == prometheus::MetricType::Counter) return "counter";
  return type == prometheus::MetricType::Gauge ? "gauge" : "histogram";
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

prometheus::ClientMetric convert(MetricFamily::Kind kind, prometheus::MetricType shown,
                                 const Labels& labels, const void* series) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  if (kind == MetricFamily::Kind::kHistogram) {
    metric.histogram = convert(*static_cast<const Histogram*>(series));
    return metric;
  }
  const double value = kind == MetricFamily::Kind::kCounter
                           ? static_cast<double>(static_cast<const Counter*>(series)->value())
                           : static_cast<const Gauge*>(series)->value();
  if (shown == prometheus::MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  return metric;
}

}  // namespace

std::string prometheus_text(const Stats& stats) {
  std::vector<prometheus::MetricFamily> shown;
  for (const MetricFamily& family : stats.families()) {
    prometheus::MetricFamily out;
    out.name = family.name;
    out.help = escape_help(family.help);
    out.type = shown_type(family);
    for (const auto& [labels, series] : family.series)
      out.metric.push_back(convert(family.kind, out.type, labels, series));
    shown.push_back(std::move(out));
  }
  return prometheus::TextSerializer().Serialize(shown);
}

std::vector<CatalogueEntry> catalogue(const Stats& stats) {
  std::vector<CatalogueEntry> entries;
  for (const MetricFamily& family : stats.families()) {
    CatalogueEntry entry{family.name, std::string(type_name(shown_type(family))), family.help, {}};
    for (const auto& [labels, series] : family.series)
      for (const auto& [name, value] : labels)
        if (std::find(entry.labels.begin(), entry.labels.end(), name) == entry.labels.end())
          entry.labels.push_back(name);
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace muster::monitoring
