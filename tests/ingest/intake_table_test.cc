#include "ingest/intake_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/ingest/fixture.h"

namespace muster::ingest {
namespace {

TEST(HashIndex, AgreesWithAMapUpToItsCapacity) {
  const std::uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  HashIndex index(500);
  std::map<Hash128, std::uint32_t> model;
  while (!index.full()) {
    // Few distinct low bits: long runs of taken places.
    const Hash128 key{random() % 8, random() % 400};
    const auto found = index.find(key);
    const auto known = model.find(key);
    ASSERT_EQ(found.has_value(), known != model.end()) << "seed " << seed;
    if (found)
      ASSERT_EQ(*found, known->second) << "seed " << seed;
    else
      model[key] = index.add(key);
  }
  EXPECT_EQ(model.size(), 500u);
}

TEST(RoundTable, AChunkGoesFromAbsentToPendingToDurable) {
  RoundTable table(small_round());
  const std::uint32_t update = table.add({1, 2}, {3, 4}, 5, 1, 6);
  EXPECT_EQ(table.state(update, 1), ChunkState::kAbsent);
  table.admit(update, 1, {0xabcdef, 0});
  EXPECT_EQ(table.state(update, 1), ChunkState::kPending);
  EXPECT_TRUE(table.same(update, 1, {0xabcdef, 0}));
  EXPECT_FALSE(table.same(update, 1, {0xabcde0, 0}));
  EXPECT_EQ(table.pending, 1u);
  EXPECT_FALSE(table.set_durable(update, 1));
  EXPECT_EQ(table.state(update, 1), ChunkState::kDurable);
  table.admit(update, 0, {});
  table.admit(update, 2, {});
  EXPECT_FALSE(table.set_durable(update, 2));
  EXPECT_TRUE(table.set_durable(update, 0));
  EXPECT_TRUE(table.complete(update));
}

TEST(RoundTable, RecordsThatDoNotFitAreLeftOut) {
  RoundSpec spec = small_round();
  spec.max_updates = 1;
  RoundTable table(spec);
  RecordHeader record;
  record.device = {1, 1};
  record.update = {2, 2};
  EXPECT_TRUE(table.recover(record));
  EXPECT_FALSE(table.recover(record)) << "twice";
  record.chunk = 3;
  EXPECT_FALSE(table.recover(record)) << "chunk out of range";
  record.chunk = 1;
  record.update = {2, 3};
  EXPECT_FALSE(table.recover(record)) << "second update of the device";
  record.device = {1, 2};
  EXPECT_FALSE(table.recover(record)) << "no room";
  EXPECT_EQ(table.pending, 0u);
}

TEST(RoundTable, AssignsToSoManyDistinctDevices) {
  RoundTable table(small_round());
  for (std::uint64_t device = 0; device < 4; ++device) EXPECT_TRUE(table.assign({device, 1}));
  EXPECT_FALSE(table.assign({4, 1}));
  EXPECT_TRUE(table.assign({2, 1}));
}

}  // namespace
}  // namespace muster::ingest
