#include "server/memory_trim.h"

#include <gtest/gtest.h>

namespace muster::server {
namespace {

constexpr std::uint64_t kSome = MemoryTrim::kTurnover;
constexpr Nanoseconds kApart = MemoryTrim::kApart;

TEST(MemoryTrim, IsDueForEachTurnoverAndNotTooOften) {
  const Counter ended;
  MemoryTrim trim(ended);
  EXPECT_FALSE(trim.due(0, kSecond));
  EXPECT_FALSE(trim.due(kSome - 1, kSecond));
  EXPECT_TRUE(trim.due(kSome, kSecond));
  EXPECT_FALSE(trim.due(kSome, kSecond)) << "it was done for these";
  // A wave that is still going away waits for its turn, and is not forgotten.
  EXPECT_FALSE(trim.due(40 * kSome, kSecond + kApart - 1));
  EXPECT_TRUE(trim.due(40 * kSome, kSecond + kApart));
  EXPECT_FALSE(trim.due(41 * kSome - 1, 100 * kApart));
  EXPECT_TRUE(trim.due(41 * kSome, 100 * kApart));
}

TEST(MemoryTrim, IsDueForTheRestOfAWaveOnceNoMoreEnd) {
  const Counter ended;
  MemoryTrim trim(ended);
  EXPECT_FALSE(trim.due(1, kSecond));
  EXPECT_FALSE(trim.due(1, 10 * kApart)) << "a few connections are no wave";
  EXPECT_TRUE(trim.due(kSome + 50, 20 * kApart));
  EXPECT_FALSE(trim.due(kSome + 90, 21 * kApart)) << "more may end";
  EXPECT_FALSE(trim.due(kSome + 99, 22 * kApart - 1));
  EXPECT_FALSE(trim.due(kSome + 99, 23 * kApart - 2));
  EXPECT_TRUE(trim.due(kSome + 99, 23 * kApart - 1));
  EXPECT_FALSE(trim.due(kSome + 100, 40 * kApart)) << "the wave is over";
  EXPECT_FALSE(trim.due(kSome + 100, 60 * kApart));
}

}  // namespace
}  // namespace muster::server
