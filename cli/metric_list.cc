#include "cli/metric_list.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/metrics.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

json to_json(const Metric& metric) {
  json labels = json::array();
  for (const MetricLabel& label : metric.labels) {
    json shown = {{"name", label.name}};
    if (label.values.empty())
      shown["at_most"] = label.at_most;
    else
      shown["values"] = label.values;
    labels.push_back(std::move(shown));
  }
  json shown = {{"name", metric.name},
                {"group", metric.group},
                {"type", metric_type_name(metric.type)},
                {"unit", metric.unit},
                {"labels", labels},
                {"meaning", metric.meaning},
                {"since", metric.since},
                {"data_dependent", metric.data_dependent}};
  if (metric.type == MetricType::kHistogram) {
    const auto bounds = bucket_bounds(metric.buckets);
    shown["buckets"] = std::vector<double>(bounds.begin(), bounds.end());
  }
  return shown;
}

std::string label_names(const Metric& metric, std::string_view quote) {
  std::string names;
  for (const MetricLabel& label : metric.labels)
    names += fmt::format("{}{}{}{}", names.empty() ? "" : ", ", quote, label.name, quote);
  return names;
}

/// Label and values -> the metrics that have it.
using LabelUse = std::map<std::pair<std::string, std::string>, std::string>;

LabelUse label_uses() {
  LabelUse uses;
  for (const Metric& metric : metric_catalogue()) {
    for (const MetricLabel& label : metric.labels) {
      std::string values;
      for (const std::string_view value : label.values)
        values += fmt::format("{}`{}`", values.empty() ? "" : ", ", value);
      if (label.values.empty())
        values = label.at_most == 1 ? "one value in a process"
                                    : fmt::format("names, at most {}", label.at_most);
      std::string& names = uses[{std::string(label.name), values}];
      names += fmt::format("{}`{}`", names.empty() ? "" : ", ", metric.name);
    }
  }
  return uses;
}

}  // namespace

void show_catalogue(Session& session) {
  json metrics = json::array();
  for (const Metric& metric : metric_catalogue()) metrics.push_back(to_json(metric));
  session.show({{"metrics", std::move(metrics)}}, [&session](std::ostream& out) {
    Table table({{"NAME"}, {"TYPE"}, {"UNIT"}, {"LABELS"}, {"SINCE"}, {"MEANING"}});
    for (const Metric& metric : metric_catalogue())
      table.add({std::string(metric.name), std::string(metric_type_name(metric.type)),
                 std::string(metric.unit), label_names(metric, ""), std::string(metric.since),
                 std::string(metric.meaning)});
    table.print(out, session.bold());
  });
}

std::string catalogue_page() {
  std::string page =
      "<!-- Made by `muster metrics --markdown` from base/metrics.cc. A test compares the two. "
      "-->\n"
      "# Metrics\n\n"
      "What `/metrics` shows, in the Prometheus text format. `muster metrics --list` prints the "
      "same "
      "table. No label has values that\nare not listed below; there is none for devices, keys or "
      "addresses. Metrics marked *data* depend on the data of single devices\nand are not exported "
      "for private tasks.\n";
  std::string_view group;
  for (const Metric& metric : metric_catalogue()) {
    if (metric.group != group) {
      group = metric.group;
      page += fmt::format(
          "\n## {}\n\n| name | type | unit | labels | meaning | since |\n"
          "| --- | --- | --- | --- | --- | --- |\n",
          group);
    }
    page += fmt::format("| `{}` | {}{} | {} | {} | {} | {} |\n", metric.name,
                        metric_type_name(metric.type), metric.data_dependent ? ", *data*" : "",
                        metric.unit, label_names(metric, "`"), metric.meaning, metric.since);
  }
  page += "\n## Labels\n\n| label | values | of |\n| --- | --- | --- |\n";
  for (const auto& [label, names] : label_uses())
    page += fmt::format("| `{}` | {} | {} |\n", label.first, label.second, names);
  page += "\n## Buckets\n\n| of | upper bounds |\n| --- | --- |\n";
  for (const BucketScale scale :
       {BucketScale::kLatency, BucketScale::kRecords, BucketScale::kNorm}) {
    std::string names;
    for (const Metric& metric : metric_catalogue())
      if (metric.buckets == scale)
        names += fmt::format("{}`{}`", names.empty() ? "" : ", ", metric.name);
    page += fmt::format("| {} | {} |\n", names, fmt::join(bucket_bounds(scale), ", "));
  }
  return page;
}

}  // namespace muster::cli
