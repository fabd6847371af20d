#include "base/log.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <random>

namespace muster {
namespace {

using nlohmann::json;

std::string line_of(bool as_json, std::string_view sentence, std::initializer_list<LogField> fields,
                    std::uint64_t suppressed = 0) {
  return log_line(as_json, 1'764'417'904'045, LogLevel::kWarning, "spool", "disk_low", sentence,
                  std::span(fields.begin(), fields.size()), suppressed);
}

TEST(Log, AJsonLineHasWhatOperatorsSearchFor) {
  const json line = json::parse(
      line_of(true, "nearly full", {{"task", "keyboard"}, {"round", 7}, {"trace_id", "ab"}}, 3));
  EXPECT_EQ(line, json({{"time", "2025-11-29T12:05:04.045Z"},
                        {"level", "warning"},
                        {"component", "spool"},
                        {"event", "disk_low"},
                        {"message", "nearly full"},
                        {"task", "keyboard"},
                        {"round", 7},
                        {"trace_id", "ab"},
                        {"suppressed", 3}}));
}

TEST(Log, ATextLineReadsAsASentence) {
  EXPECT_EQ(line_of(false, "nearly full", {{"free", 12}, {"why", "a b"}, {"task", "t"}}),
            "2025-11-29T12:05:04.045Z warning nearly full event=disk_low component=spool free=12 "
            "why=\"a b\" task=t");
}

TEST(Log, HostileTextStaysInItsPlace) {
  const std::string hostile[] = {"\"},{\"event\":\"forged\"",
                                 "line\nbreak\r\tand \\ \"quotes\"",
                                 std::string("nul\0inside", 10),
                                 "\x1b[2J\x7f",
                                 "\xc2\x9b"
                                 "31m C1",
                                 "\xff\xfe\x80 \xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80 \xe2\x82",
                                 "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"};
  for (const std::string& text : hostile) {
    const std::string line = line_of(true, text, {{"why", text}});
    const json parsed = json::parse(line, nullptr, false);
    ASSERT_TRUE(parsed.is_object()) << line;
    EXPECT_EQ(parsed.size(), 6u) << line;
    EXPECT_EQ(parsed["event"], "disk_low") << line;
    EXPECT_EQ(parsed["message"], parsed["why"]);
    for (const std::string& shown : {line, line_of(false, text, {{"why", text}})}) {
      for (const char c : shown) {
        EXPECT_GE(static_cast<unsigned char>(c), 0x20u) << shown;
        EXPECT_NE(c, '\x7f') << shown;
      }
      EXPECT_EQ(shown.find("\xc2\x9b"), std::string::npos);
    }
  }
  // What is sound comes through unchanged.
  EXPECT_EQ(json::parse(json_string(hostile[6])), hostile[6]);
  EXPECT_EQ(json::parse(json_string(hostile[1])), hostile[1]);
  EXPECT_EQ(json::parse(json_string(hostile[2])), hostile[2]);
}

TEST(Log, AnyBytesMakeAJsonString) {
  std::mt19937 random(6);
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 12, '\0');
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? random() % 128 : random() % 256);
    ASSERT_FALSE(json::parse(json_string(text), nullptr, false).is_discarded()) << i;
    // Valid UTF-8, as the strict reader sees it, comes back as it was.
    const std::string strict = json(text).dump(-1, ' ', false, json::error_handler_t::ignore);
    if (json::parse(strict) == text) {
      ASSERT_EQ(json::parse(json_string(text)), text) << i;
    }
  }
}

TEST(Log, NumbersAreJson) {
  const json line = json::parse(line_of(true, "",
                                        {{"infinite", std::numeric_limits<double>::infinity()},
                                         {"half", 0.5},
                                         {"flag", true},
                                         {"big", std::numeric_limits<std::uint64_t>::max()}}));
  EXPECT_TRUE(line["infinite"].is_null());
  EXPECT_EQ(line["half"], 0.5);
  EXPECT_EQ(line["flag"], true);
  EXPECT_EQ(line["big"], std::numeric_limits<std::uint64_t>::max());
}

TEST(Log, AFloodOfOneEventIsCountedNotWritten) {
  const LogCounts before = log_counts();
  testing::internal::CaptureStderr();
  log_setup(LogFormat::kJson, LogLevel::kInfo);
  for (int i = 0; i < 500; ++i) log_warning("flood_of_test", "again");
  log_warning("other_of_test", "once");
  testing::internal::GetCapturedStderr();
  const LogCounts after = log_counts();
  const std::uint64_t written = after.lines[2] - before.lines[2];
  const std::uint64_t suppressed = after.suppressed - before.suppressed;
  EXPECT_EQ(written + suppressed, 501u);
  EXPECT_GE(written, 21u);
  EXPECT_LE(written, 81u) << "20 a second; no machine is so slow that this took four";
  const auto lines = recent_log_lines();
  EXPECT_NE(lines.back().find("other_of_test"), std::string::npos);
}

TEST(Log, TheNextLineSaysHowManyWereSuppressed) {
  testing::internal::CaptureStderr();
  log_setup(LogFormat::kJson, LogLevel::kInfo);
  const std::uint64_t before = log_counts().suppressed;
  for (int i = 0; i < 100; ++i) log_warning("suppressed_of_test", "again");
  // The second turns: lines pass again, and the first says what went missing before it.
  const std::uint64_t missing = log_counts().suppressed - before;
  std::uint64_t reported = 0;
  for (int tries = 0; tries < 400'000'000 && reported == 0; ++tries) {
    log_warning("suppressed_of_test", "again");
    const json line = json::parse(recent_log_lines().back());
    if (line["event"] == "suppressed_of_test") reported = line.value("suppressed", 0);
  }
  testing::internal::GetCapturedStderr();
  EXPECT_GE(reported, missing);
  EXPECT_GT(missing, 0u);
}

}  // namespace
}  // namespace muster
