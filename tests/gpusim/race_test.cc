// The rules of order, one a test, without a kernel.
#include "tests/gpusim/ptx/race.h"

#include <gtest/gtest.h>

#include "tests/gpusim/ptx/failure.h"

namespace gpusim {
namespace {

constexpr auto kShared = RaceChecker::Where::kShared;
constexpr auto kGlobal = RaceChecker::Where::kGlobal;
constexpr Party kFirst{0, 0}, kSecond{0, 1}, kThird{0, 2}, kOtherWarp{1, 0};

class RaceTest : public testing::Test {
 protected:
  RaceTest() { begin(0, true); }

  void begin(std::uint32_t block, bool launch = false) {
    if (launch) races.begin_launch();
    races.begin_block(block, 64);
  }
  bool read(Party who, RaceChecker::Where where = kShared) {
    return ok([&] { races.read(cell, who, where, 0); });
  }
  bool write(Party who, RaceChecker::Where where = kShared) {
    return ok([&] { races.write(cell, who, where, 0); });
  }
  bool atomic(Party who, RaceChecker::Where where = kShared) {
    return ok([&] { races.atomic(cell, who, where, 0); });
  }
  template <class Access>
  static bool ok(Access access) {
    try {
      access();
      return true;
    } catch (const Failure&) {
      return false;
    }
  }

  RaceChecker races;
  Cell cell;
};

TEST_F(RaceTest, AThreadDoesNotRaceWithItself) {
  EXPECT_TRUE(write(kFirst) && read(kFirst) && write(kFirst));
}

TEST_F(RaceTest, ReadersDoNotRaceButAWriterAfterThemDoes) {
  EXPECT_TRUE(read(kFirst) && read(kSecond) && read(kOtherWarp));
  EXPECT_FALSE(write(kFirst));
}

TEST_F(RaceTest, TheOnlyReaderMayWrite) {
  EXPECT_TRUE(read(kFirst) && read(kFirst) && write(kFirst));
}

TEST_F(RaceTest, LanesOfAWarpRaceWithoutSyncwarp) {
  EXPECT_TRUE(write(kFirst));
  EXPECT_FALSE(read(kSecond));
}

TEST_F(RaceTest, SyncwarpOrdersTheLanesItNames) {
  EXPECT_TRUE(write(kFirst));
  races.warp_sync(0, 0b011);
  EXPECT_TRUE(read(kSecond));
  EXPECT_FALSE(read(kThird));
}

TEST_F(RaceTest, SyncwarpIsTransitive) {
  EXPECT_TRUE(write(kFirst));
  races.warp_sync(0, 0b011);
  races.warp_sync(0, 0b110);
  EXPECT_TRUE(write(kThird));
}

TEST_F(RaceTest, SyncwarpSaysNothingToAnotherWarp) {
  EXPECT_TRUE(write(kFirst));
  races.warp_sync(0, kAllLanes);
  EXPECT_FALSE(read(kOtherWarp));
}

TEST_F(RaceTest, ALaneThatReadAgainHidesNoOtherReader) {
  EXPECT_TRUE(read(kFirst) && read(kSecond));
  races.warp_sync(0, 0b101);
  EXPECT_TRUE(read(kFirst));
  EXPECT_FALSE(write(kThird));
}

TEST_F(RaceTest, ABarrierOrdersTheBlock) {
  EXPECT_TRUE(write(kFirst));
  races.barrier();
  EXPECT_TRUE(write(kOtherWarp) && read(kOtherWarp));
}

TEST_F(RaceTest, AtomicsRaceWithPlainAccessesOnly) {
  EXPECT_TRUE(atomic(kFirst) && atomic(kSecond) && atomic(kOtherWarp));
  EXPECT_FALSE(read(kOtherWarp)) << "others' atomics are as unordered as its own is ordered";
  races.barrier();
  EXPECT_TRUE(read(kSecond));
  EXPECT_FALSE(atomic(kFirst));
}

TEST_F(RaceTest, SharedMemoryIsNewForEachBlock) {
  EXPECT_TRUE(write(kFirst));
  begin(1);
  EXPECT_FALSE(races.written_in_block(cell));
  EXPECT_TRUE(write(kSecond));
}

TEST_F(RaceTest, BlocksAreUnorderedInGlobalMemory) {
  EXPECT_TRUE(write(kFirst, kGlobal));
  begin(1);
  EXPECT_FALSE(read(kFirst, kGlobal));
}

TEST_F(RaceTest, LaunchesAreOrdered) {
  EXPECT_TRUE(write(kFirst, kGlobal));
  begin(0, true);
  EXPECT_TRUE(write(kSecond, kGlobal));
}

TEST_F(RaceTest, AReaderOfAnEarlierBlockIsNotForgotten) {
  EXPECT_TRUE(read(kFirst, kGlobal));
  begin(1);
  EXPECT_TRUE(read(kFirst, kGlobal));
  races.barrier();
  EXPECT_FALSE(write(kFirst, kGlobal));
}

class HandOverTest : public RaceTest {
 protected:
  void publish(bool fences) {
    if (fences) races.fence(kFirst);
    races.synchronise(64, kFirst, false);
  }
};

TEST_F(HandOverTest, AFenceAndAnAtomicHandOver) {
  EXPECT_TRUE(write(kFirst, kGlobal));
  publish(true);
  begin(1);
  races.synchronise(64, kSecond, false);
  EXPECT_TRUE(read(kSecond, kGlobal));
  EXPECT_FALSE(read(kOtherWarp, kGlobal))
      << "the others of the block must meet the thread that took it";
  races.barrier();
  EXPECT_TRUE(read(kOtherWarp, kGlobal));
}

TEST_F(HandOverTest, AnAtomicAloneDoesNot) {
  EXPECT_TRUE(write(kFirst, kGlobal));
  publish(false);
  begin(1);
  races.synchronise(64, kSecond, false);
  EXPECT_FALSE(read(kSecond, kGlobal));
}

TEST_F(HandOverTest, NeitherDoesAnAtomicOnAnotherAddress) {
  EXPECT_TRUE(write(kFirst, kGlobal));
  publish(true);
  begin(1);
  races.synchronise(72, kSecond, false);
  EXPECT_FALSE(read(kSecond, kGlobal));
}

TEST_F(HandOverTest, AThreadPublishesOthersOnlyAfterABarrier) {
  EXPECT_TRUE(write(kOtherWarp, kGlobal));
  publish(true);
  begin(1);
  races.synchronise(64, kFirst, false);
  EXPECT_FALSE(read(kFirst, kGlobal));

  begin(0, true);
  EXPECT_TRUE(write(kOtherWarp, kGlobal));
  races.barrier();
  publish(true);
  begin(1);
  races.synchronise(64, kFirst, false);
  EXPECT_TRUE(read(kFirst, kGlobal));
}

TEST_F(HandOverTest, IsPassedOn) {
  EXPECT_TRUE(write(kFirst, kGlobal));
  publish(true);
  begin(1);
  races.synchronise(64, kFirst, false);
  races.fence(kFirst);
  races.synchronise(72, kFirst, false);
  begin(2);
  races.synchronise(72, kSecond, false);
  EXPECT_TRUE(read(kSecond, kGlobal));
}

TEST(ShadowPageTest, SplitsItsCellsAtANarrowerAccess) {
  ShadowPage page;
  std::size_t count = 0;
  Cell* cells = page.cells(32, 16, 1, &count);
  EXPECT_EQ(count, 1U);
  cells[0].write.era = 7;
  cells = page.cells(40, 4, 1, &count);
  EXPECT_EQ(count, 1U);
  EXPECT_EQ(cells[0].write.era, 7U);
  cells[0].write.era = 8;
  cells = page.cells(32, 16, 1, &count);
  ASSERT_EQ(count, 4U);
  EXPECT_EQ(cells[1].write.era, 7U);
  EXPECT_EQ(cells[2].write.era, 8U);
  page.cells(0, 16, 2, &count);
  EXPECT_EQ(count, 1U) << "the next launch starts anew";
}

}  // namespace
}  // namespace gpusim
