// Scenario files: what is in the tree is sound, and what is wrong is named by line, column and key.
#include "cli/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/load_plot.h"
#include "cli/load_result.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string problems(const std::string& text) {
  const auto scenario = parse_scenario(text, "s.toml");
  EXPECT_FALSE(scenario.ok());
  return std::string(scenario.status().message());
}

constexpr const char* kSound = R"(name = "s"
[[fleet]]
name = "a"
rate = 10.0
)";

TEST(Scenario, ExamplesAreSound) {
  int files = 0;
  for (const char* folder : {"/examples/scenarios", "/tests/cli/scenarios"})
    for (const auto& entry :
         std::filesystem::directory_iterator(MUSTER_SOURCE_DIR + std::string(folder))) {
      const auto scenario = parse_scenario(read(entry.path()), entry.path().string());
      EXPECT_TRUE(scenario.ok()) << scenario.status().message();
      ++files;
    }
  EXPECT_GE(files, 8);
}

TEST(Scenario, WhatIsWrongIsNamedByPlaceAndKey) {
  EXPECT_THAT(
      problems("name = \"s\"\n[[fleet]]\nrate = 1.0\ndevicse = 3\n"),
      ::testing::AllOf(HasSubstr("s.toml:4:1"), HasSubstr("devicse"), HasSubstr("devices")));
  EXPECT_THAT(problems("name = \"s\"\n[[fleet]]\nrate = 1.0\nhostile = 1.5\n"),
              ::testing::AllOf(HasSubstr("s.toml:4:"), HasSubstr("hostile"), HasSubstr("share")));
  EXPECT_THAT(problems("name = \"s\"\n[[fleet]]\nrate = 1.0\nattack = \"kindness\"\n"),
              ::testing::AllOf(HasSubstr("attack"), HasSubstr("min_max")));
  EXPECT_THAT(problems("name = \"s\"\n[[fleet]]\n"), HasSubstr("rate"));
  EXPECT_THAT(problems("name = \"s\"\n"), HasSubstr("nobody would come"));
  EXPECT_THAT(problems(std::string(kSound) + "[[phase]]\nfleets = [\"b\"]\n"), HasSubstr("\"b\""));
  EXPECT_THAT(problems(std::string(kSound) + "[task]\nrule = \"trimed_mean\"\n"),
              HasSubstr("trimmed_mean"));
  EXPECT_THAT(problems(std::string(kSound) + "[thresholds]\nconnect_p99 = 5\n"),
              HasSubstr("connect_p99"));
  EXPECT_THAT(problems("name = \"Big Name\"\n[[fleet]]\nrate = 1.0\n"), HasSubstr("a-z"));
  EXPECT_THAT(problems("name = \"s\"\n[[fleet]]\nrate = 1.0\nchecks_in = false\n"),
              HasSubstr("stays"));
}

TEST(Scenario, ProfilesAndPhasesFillWhatIsLeftOut) {
  const Scenario scenario = parse_scenario(kSound, "s.toml").value();
  ASSERT_EQ(scenario.plan.phases.size(), 1U);
  EXPECT_EQ(scenario.plan.phases[0].fleets, std::vector<std::uint32_t>{0});
  EXPECT_DOUBLE_EQ(scenario.plan.fleets[0].drop_out, 0.3);
  EXPECT_THAT(task_toml(scenario.task), HasSubstr("target_cohort = 100\n"));
}

class LoadResultTest : public ::testing::Test {
 protected:
  LoadResultTest() {
    scenario_ = parse_scenario(std::string(kSound) + R"([[phase]]
name = "alone 1"
[[phase]]
name = "beside 1"
[thresholds]
acknowledge_p99 = "10ms"
p99_ratio = 1.2
p99_of = "beside"
p99_to = "alone"
)",
                               "s.toml")
                    .value();
    result_.scenario = &scenario_;
    result_.outcome.phases.resize(2);
    result_.outcome.phases[0].acknowledge.record(5 * kMillisecond, 100);
    result_.outcome.phases[1].acknowledge.record(7 * kMillisecond, 100);
    result_.outcome.phases[0].lag.record(kMillisecond, 100);
  }
  Scenario scenario_;
  LoadResult result_;
};

TEST_F(LoadResultTest, ThresholdsMakeTheVerdict) {
  result_.judged = judge(result_);
  ASSERT_EQ(result_.judged.size(), 2U);
  EXPECT_TRUE(result_.judged[0].met) << result_.judged[0].found;
  EXPECT_FALSE(result_.judged[1].met) << result_.judged[1].found;  // 1.4 times
  EXPECT_FALSE(result_.passed());
}

TEST_F(LoadResultTest, ASaturatedSimulatorReportsNothing) {
  EXPECT_EQ(saturation(result_), "");
  result_.null_sink = {true, 1000, 550, 0, 1.1};
  EXPECT_THAT(saturation(result_), HasSubstr("keeps nothing"));
  result_.null_sink.factor = 2;
  result_.outcome.busiest = 0.95;
  EXPECT_THAT(saturation(result_), HasSubstr("busy"));
  result_.outcome.busiest = 0.5;
  result_.outcome.phases[0].lag.record(20 * kMillisecond, 100);
  EXPECT_THAT(saturation(result_), HasSubstr("late"));
  scenario_.answer_only = true;
  EXPECT_EQ(saturation(result_), "");
}

TEST_F(LoadResultTest, TheReportNeedsNothingElse) {
  result_.samples = {{0.1, 1, 1, 1, 1, 0, 0.001, 0.002, 1e8, 0.1},
                     {1.1, 50, 50, 0, 1, 0, 0.001, 0.002, 1e8, 0.3}};
  const std::string page = report_html(result_);
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, HasSubstr("beside 1"));
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  result_.saturated = "it was <busy>";
  EXPECT_THAT(report_html(result_), HasSubstr("it was &lt;busy&gt;"));
  EXPECT_EQ(report_html(result_).find("Percentiles"), std::string::npos);
}

TEST_F(LoadResultTest, PartsAddUpToTheMean) {
  result_.outcome.phases[0].acknowledge_sent.record(4 * kMillisecond, 200);
  result_.metrics_after = parse_metrics(
      "# HELP x\nmuster_receipt_duration_seconds_sum 0.6\nmuster_receipt_duration_seconds_count "
      "200\n"
      "muster_spool_sync_duration_seconds_sum{a=\"b\"} 0.02\n"
      "muster_spool_sync_duration_seconds_count{a=\"b\"} 20\n");
  const Parts parts = split_parts(result_);
  EXPECT_NEAR(parts.durable, 0.001, 1e-9);
  EXPECT_NEAR(parts.queue, 0.002, 1e-9);
  EXPECT_NEAR(parts.client + parts.network + parts.queue + parts.durable,
              all_phases(result_.outcome).acknowledge.mean() / kSecond, 1e-6);
}

}  // namespace
}  // namespace muster::cli
