#include "ingest/slots.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/ingest/fixture.h"

namespace muster::ingest {
namespace {

TEST(SlotPool, HandsOutEverySlotOnceAndThenNone) {
  Slab slab(5, 128);
  std::set<SlotIndex> taken;
  while (const auto slot = slab.pool.take()) taken.insert(*slot);
  EXPECT_EQ(taken.size(), 5u);
  EXPECT_EQ(slab.pool.free_count(), 0u);
  slab.pool.give_back(3);
  EXPECT_EQ(slab.pool.take(), std::optional<SlotIndex>(3));
}

TEST(SlotPool, SlotsDoNotOverlapAndLeftoverBytesStayUnused) {
  std::vector<std::byte> memory(3 * 192 + 100);
  SlotPool pool(memory, 192);
  ASSERT_EQ(pool.count(), 3u);
  for (SlotIndex slot = 0; slot < 3; ++slot) {
    EXPECT_EQ(pool.bytes(slot).data(), memory.data() + 192 * slot);
    EXPECT_EQ(pool.bytes(slot).size(), 192u);
  }
}

TEST(SlotPoolDeathTest, ASlotComesBackOnce) {
  Slab slab(2, 64);
  const auto slot = slab.pool.take();
  slab.pool.give_back(*slot);
  EXPECT_DEATH(slab.pool.give_back(*slot), "in_use_");
  EXPECT_DEATH(SlotPool(slab.memory, 100), "slot_bytes");
}

}  // namespace
}  // namespace muster::ingest
