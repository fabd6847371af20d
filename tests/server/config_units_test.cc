#include <gtest/gtest.h>

#include <string>

#include "server/config.h"
#include "server/config_text.h"

namespace muster::server {
namespace {

TEST(Units, SizesAreWholeNumbersWithAUnit) {
  EXPECT_EQ(*parse_bytes("0B"), 0u);
  EXPECT_EQ(*parse_bytes("64MiB"), 64u << 20);
  EXPECT_EQ(*parse_bytes("1kB"), 1000u);
  EXPECT_EQ(*parse_bytes("3GB"), 3'000'000'000u);
  EXPECT_EQ(*parse_bytes("5TiB"), std::uint64_t{5} << 40);
}

TEST(Units, DurationsAreWholeNumbersWithAUnit) {
  EXPECT_EQ(*parse_duration("1ns"), 1);
  EXPECT_EQ(*parse_duration("20us"), 20 * kMicrosecond);
  EXPECT_EQ(*parse_duration("250ms"), 250 * kMillisecond);
  EXPECT_EQ(*parse_duration("0s"), 0);
  EXPECT_EQ(*parse_duration("90m"), 5400 * kSecond);
  EXPECT_EQ(*parse_duration("2h"), 7200 * kSecond);
}

TEST(Units, EverythingElseIsRefused) {
  for (const char* text : {"", "64", "MiB", "64 MiB", "64mib", "64M", "-1B", "+1B", "1.5MiB",
                           "1e3B", "0x10B", "64MiBs", " 64MiB", "64MiB ", "99999999999999999999B",
                           "9223372036854775808B", "8388608TiB"}) {
    const auto size = parse_bytes(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.status().reason(), "unit") << text;
  }
  for (const char* text : {"", "250", "ms", "250 ms", "250MS", "-1s", "1.5s", "1min", "1d", "5MiB",
                           "9223372036854775808ns", "2562048h"})
    EXPECT_EQ(parse_duration(text).status().reason(), "unit") << text;
  EXPECT_TRUE(parse_duration("2562047h").ok());
  EXPECT_TRUE(parse_bytes("9223372036854775807B").ok());
}

TEST(Units, ABareNumberIsToldWhatItLacks) {
  EXPECT_EQ(parse_bytes("64").status().message(),
            "\"64\" has no unit: write a whole number and a unit, such as \"64MiB\"; "
            "units are B kB MB GB TB KiB MiB GiB TiB");
  EXPECT_EQ(parse_duration("x\n1").status().message(),
            "\"x\\x0a1\" is not a duration: write a whole number and a unit, such as \"250ms\"; "
            "units are ns us ms s m h");
}

TEST(Units, TextReadsBackAsTheSameValue) {
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1000}, std::uint64_t{1024},
        std::uint64_t{1536} << 20, std::uint64_t{7} << 40, ~std::uint64_t{0} >> 1}) {
    EXPECT_EQ(*parse_bytes(bytes_text(value)), value);
    EXPECT_EQ(*parse_duration(duration_text(static_cast<Nanoseconds>(value))),
              static_cast<Nanoseconds>(value));
  }
  EXPECT_EQ(bytes_text(std::uint64_t{64} << 20), "64MiB");
  EXPECT_EQ(duration_text(90 * kSecond), "90s");
  EXPECT_EQ(duration_text(3600 * kSecond), "1h");
}

}  // namespace
}  // namespace muster::server
