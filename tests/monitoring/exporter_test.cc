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
  stats.counter("muster_updates_received_total", "Updates received.").add(3);
  stats.counter("muster_updates_rejected_total", "Refused.", {{"reason", "duplicate"}}).add(2);
  stats.counter("muster_updates_rejected_total", "Refused.", {{"reason", "revoked"}}).add(5);
  stats.gauge("muster_inflight_bytes", "Bytes in flight.").set(-1.5);
  stats.histogram("muster_spool_group_size", "Records a sync.", {1, 8}).observe(4);
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
  Histogram& histogram = stats.histogram("muster_norm", "Norms.", {1, 2, 5});
  for (const double value : {0.5, 0.75, 2.0, 4.0, 100.0}) histogram.observe(value);
  const Scrape scrape(prometheus_text(stats));
  EXPECT_EQ(scrape.series.at("muster_norm_bucket{le=\"1\"}"), 2);
  EXPECT_EQ(scrape.series.at("muster_norm_bucket{le=\"2\"}"), 3);
  EXPECT_EQ(scrape.series.at("muster_norm_bucket{le=\"5\"}"), 4);
  EXPECT_EQ(scrape.series.at("muster_norm_bucket{le=\"+Inf\"}"), 5);
  EXPECT_EQ(scrape.series.at("muster_norm_count"), 5);
  EXPECT_EQ(scrape.series.at("muster_norm_sum"), 107.25);
}

TEST(Exporter, ShowsAFractionalTotalAsACounter) {
  Stats stats;
  stats.gauge("muster_backpressure_seconds_total", "Time spent refusing.").add(0.25);
  const Scrape scrape(prometheus_text(stats));
  EXPECT_EQ(scrape.types.at("muster_backpressure_seconds_total"), "counter");
  EXPECT_EQ(scrape.series.at("muster_backpressure_seconds_total"), 0.25);
  EXPECT_EQ(catalogue(stats).at(0).kind, "counter");
}

TEST(Exporter, EscapesHelpAndLabels) {
  Stats stats;
  stats.gauge("muster_info", "Two\nlines and a \\.", {{"device", "a \"b\"\n\\c"}}).set(1);
  const std::string text = prometheus_text(stats);
  const Scrape scrape(text);
  EXPECT_NE(text.find("# HELP muster_info Two\\nlines and a \\\\.\n"), std::string::npos) << text;
  EXPECT_EQ(scrape.series.at(R"(muster_info{device="a \"b\"\n\\c"})"), 1);
}

TEST(Exporter, SaysNothingForAnEmptyTree) { EXPECT_EQ(prometheus_text(Stats()), ""); }

TEST(Catalogue, NamesEveryFamilyOnceWithItsLabels) {
  Stats stats;
  stats.histogram("muster_b_seconds", "B.", {1}, {{"stage", "fold"}});
  stats.histogram("muster_b_seconds", "B.", {1}, {{"stage", "seal"}});
  stats.counter("muster_a_total", "A.");
  const auto entries = catalogue(stats);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].name, "muster_a_total");
  EXPECT_TRUE(entries[0].labels.empty());
  EXPECT_EQ(entries[1].name, "muster_b_seconds");
  EXPECT_EQ(entries[1].kind, "histogram");
  EXPECT_EQ(entries[1].help, "B.");
  EXPECT_EQ(entries[1].labels, std::vector<std::string>{"stage"});
}

TEST(ProcessStats, AreAllThereAndPlausible) {
  Stats stats;
  const auto refresh = register_process_stats(stats);
  volatile double busy = 0;
  const double before = stats.gauge("muster_process_cpu_seconds_total", "").value();
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
