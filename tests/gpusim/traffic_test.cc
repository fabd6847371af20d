#include "tests/gpusim/ptx/traffic.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace gpusim {
namespace {

std::vector<std::uint64_t> addresses(std::uint64_t stride, std::size_t lanes = 32) {
  std::vector<std::uint64_t> list(lanes);
  for (std::size_t i = 0; i < lanes; ++i) list[i] = 4096 + i * stride;
  return list;
}

Counts global(const std::vector<std::uint64_t>& list, std::size_t bytes) {
  Counts counts;
  count_global(list, bytes, &counts);
  return counts;
}

Counts shared(const std::vector<std::uint64_t>& list, std::size_t bytes) {
  std::vector<int> lanes(list.size());
  std::iota(lanes.begin(), lanes.end(), 0);
  Counts counts;
  count_shared(list, lanes, bytes, &counts);
  return counts;
}

TEST(TrafficTest, ConsecutiveWordsUseFourWholeSectors) {
  const Counts counts = global(addresses(4), 4);
  EXPECT_EQ(counts.sectors_per_request(), 4.0);
  EXPECT_EQ(counts.sector_use(), 1.0);
}

TEST(TrafficTest, AStrideWastesSectors) {
  EXPECT_EQ(global(addresses(32), 4).sectors_per_request(), 32.0);
  EXPECT_EQ(global(addresses(32), 4).sector_use(), 0.125);
  EXPECT_EQ(global(addresses(8), 4).sector_use(), 0.5);
}

TEST(TrafficTest, OrderAndRepetitionDoNotMatter) {
  EXPECT_EQ(global({4100, 4096, 4100, 4124}, 4).global_sectors, 1U);
  EXPECT_EQ(global(std::vector<std::uint64_t>(32, 4096), 4).global_bytes, 4U);
}

TEST(TrafficTest, ALookUpIsCountedApart) {
  Counts counts = global(std::vector<std::uint64_t>(32, 4096), 4);
  EXPECT_EQ(counts.uniform_requests, 1U);
  counts += global(addresses(4), 4);
  EXPECT_EQ(counts.sector_use(), 1.0);
  EXPECT_EQ(global(addresses(4, 1), 4).sector_use(), 0.125) << "one lane alone is no look-up";
}

TEST(TrafficTest, ConsecutiveSharedWordsTakeOneCycle) {
  EXPECT_EQ(shared(addresses(4), 4).shared_cycles, 1U);
  EXPECT_EQ(shared(addresses(1), 1).shared_cycles, 1U);
  EXPECT_EQ(shared(std::vector<std::uint64_t>(32, 64), 4).shared_cycles, 1U) << "a broadcast";
}

TEST(TrafficTest, StridesOfTheBankCountSerialise) {
  EXPECT_EQ(shared(addresses(128), 4).shared_cycles, 32U);
  EXPECT_EQ(shared(addresses(8), 4).bank_conflicts(), 2.0);
  EXPECT_EQ(shared(addresses(132), 4).shared_cycles, 1U) << "padding by one word";
}

TEST(TrafficTest, WideAccessesGoInPhases) {
  EXPECT_EQ(shared(addresses(8), 8).shared_cycles, 2U);
  EXPECT_EQ(shared(addresses(16), 16).shared_cycles, 4U);
  EXPECT_EQ(shared(addresses(16), 16).bank_conflicts(), 1.0);
}

}  // namespace
}  // namespace gpusim
