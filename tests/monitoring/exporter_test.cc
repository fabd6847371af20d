#include "monitoring/exporter.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <sstream>

namespace muster::monitoring {
namespace {

/// Exposition text read back: full series name -> value, family -> type. Fails the test on any line
/// that is not of the format.
struct Scrape {
  std::map<std::string, double> series;
  std::map<std::string, std::string> types;

  explicit Scrape(const std::string& text) {
    static const std::regex help(R"(# HELP [a-z_]+ \S.*)");
    static const std::regex type(R"(# TYPE ([a-z_]+) (counter|gauge|histogram))");
    static const std::regex sample(
        R"re(([a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)+\})?) ([-+0-9.eE]+|[+-]?Inf|Nan))re");
    EXPECT_TRUE(text.ends_with("\n"));
    std::istringstream lines(text);
    std::smatch match;
    for (std::string line; std::getline(lines, line);) {
      if (std::regex_match(line, match, type)) {
        EXPECT_TRUE(types.emplace(match[1], match[2]).second) << "twice: " << line;
      } else if (std::regex_match(line, match, sample)) {
        EXPECT_TRUE(series.emplace(match[1], std::stod(match[2])).second) << "twice: " << line;
      } else {
        EXPECT_TRUE(std::regex_match(line, help)) << "not exposition format: " << line;
      }
    }
  }
};

TEST(Exporter, ShowsEverySeries) {
  Stats stats;
  stats.counter("muster_updates_received_total").add(3);
  stats.counter("muster_updates_rejected_total", {{"reason", "duplicate"}}).add(2);
  stats.counter("muster_updates_rejected_total", {{"reason", "revoked"}}).add(5);
  stats.gauge("muster_inflight_bytes").set(-1.5);
  stats.histogram("muster_spool_group_size").observe(4);
  const Scrape scrape(prometheus_text(stats));
  EXPECT_EQ(scrape.series.at("muster_updates_received_total"), 3);
  EXPECT_EQ(scrape.series.at("muster_updates_rejected_total{reason=\"duplicate\"}"), 2);
  EXPECT_EQ(scrape.series.at("muster_updates_rejected_total{reason=\"revoked\"}"), 5);
  EXPECT_EQ(scrape.series.at("muster_inflight_bytes"), -1.5);
  EXPECT_EQ(scrape.types.at("muster_updates_received_total"), "counter");
  EXPECT_EQ(scrape.types.at("muster_inflight_bytes"), "gauge");
  EXPECT_EQ(scrape.types.at("muster_spool_group_size"), "histogram");
}

TEST(Exporter, AccumulatesHistogramBuckets) {
  Stats stats;
  Histogram& histogram = stats.histogram("muster_spool_group_size");
  for (const double value : {1.0, 2.0, 2.0, 4.0, 10'000.0}) histogram.observe(value);
  const Scrape scrape(prometheus_text(stats));
  EXPECT_EQ(scrape.series.at("muster_spool_group_size_bucket{le=\"1\"}"), 1);
  EXPECT_EQ(scrape.series.at("muster_spool_group_size_bucket{le=\"2\"}"), 3);
  EXPECT_EQ(scrape.series.at("muster_spool_group_size_bucket{le=\"4\"}"), 4);
  EXPECT_EQ(scrape.series.at("muster_spool_group_size_bucket{le=\"4096\"}"), 4);
  EXPECT_EQ(scrape.series.at("muster_spool_group_size_bucket{le=\"+Inf\"}"), 5);
  EXPECT_EQ(scrape.series.at("muster_spool_group_size_count"), 5);
  EXPECT_EQ(scrape.series.at("muster_spool_group_size_sum"), 10'009);
}

TEST(Exporter, ShowsAFractionalTotalAsACounter) {
  Stats stats;
  stats.gauge("muster_backpressure_seconds_total").add(0.25);
  const Scrape scrape(prometheus_text(stats));
  EXPECT_EQ(scrape.types.at("muster_backpressure_seconds_total"), "counter");
  EXPECT_EQ(scrape.series.at("muster_backpressure_seconds_total"), 0.25);
}

TEST(Exporter, EscapesHelpAndLabels) {
  const std::vector<Metric> hostile = {{"test",
                                        "muster_info",
                                        MetricType::kGauge,
                                        "1",
                                        {{"device", {}, 1}},
                                        "Two\nlines and a \\."}};
  Stats stats(hostile);
  stats.gauge("muster_info", {{"device", "a \"b\"\n\\c"}}).set(1);
  const std::string text = prometheus_text(stats);
  const Scrape scrape(text);
  EXPECT_NE(text.find("# HELP muster_info Two\\nlines and a \\\\.\n"), std::string::npos) << text;
  EXPECT_EQ(scrape.series.at(R"(muster_info{device="a \"b\"\n\\c"})"), 1);
}

TEST(Exporter, SaysNothingForAnEmptyTree) { EXPECT_EQ(prometheus_text(Stats()), ""); }

TEST(ProcessStats, AreAllThereAndPlausible) {
  Stats stats;
  const auto refresh = register_process_stats(stats);
  volatile double busy = 0;
  const double before = stats.gauge("muster_process_cpu_seconds_total").value();
  for (int i = 0; i < 20'000'000; ++i) busy = busy + i;
  refresh();
  const Scrape scrape(prometheus_text(stats));
  EXPECT_GT(scrape.series.at("muster_process_cpu_seconds_total"), before);
  EXPECT_GT(scrape.series.at("muster_process_resident_memory_bytes"), 1e6);
  EXPECT_GE(scrape.series.at("muster_process_open_fds"), 3);
  EXPECT_GE(scrape.series.at("muster_process_max_fds"),
            scrape.series.at("muster_process_open_fds"));
  EXPECT_GE(scrape.series.at("muster_process_threads"), 1);
  EXPECT_GT(scrape.series.at("muster_start_time_seconds"), 1.6e9);
  const auto build = scrape.series.lower_bound("muster_build_info{");
  ASSERT_NE(build, scrape.series.end());
  EXPECT_NE(build->first.find("version=\"" MUSTER_VERSION "\""), std::string::npos);
  EXPECT_EQ(build->second, 1);
}

}  // namespace
}  // namespace muster::monitoring
