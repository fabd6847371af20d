#include "server/model_store.h"

#include <gtest/gtest.h>

#include "base/simulated_storage.h"

namespace muster::server {
namespace {

class ModelStoreTest : public testing::Test {
 protected:
  ModelStoreTest() {
    EXPECT_TRUE(storage_.make_directory("data").ok());
    layout_.tensors = {{"a", {2, 2}, 0, 4}, {"b", {1}, 4, 1}};
    layout_.dimension = 5;
    state_.values = {1, 2, 3, 4, 5};
    state_.first = {6, 7, 8, 9, 10};
    state_.second = {0, 0, 1, 0, 0};
  }
  std::vector<std::byte> bytes_of(const std::string& name) {
    return *read_file(storage_, "data/" + name, 1 << 20);
  }

  SimulatedStorage storage_{1};
  ModelStore store_{storage_, "data"};
  Layout layout_;
  robust::ModelState state_;
};

TEST_F(ModelStoreTest, AModelComesBackAsItWas) {
  const auto hash = store_.save("task", 3, layout_, state_);
  ASSERT_TRUE(hash.ok()) << hash.status().to_string();
  EXPECT_EQ(*hash, store_.hash_of(layout_, state_, 3));
  EXPECT_EQ(*hash, ingest::sha256(bytes_of(ModelStore::file_name("task", 3))));
  const auto loaded = store_.load("task", 3, *hash);
  ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
  EXPECT_EQ(loaded->layout, layout_);
  EXPECT_EQ(loaded->state.values, state_.values);
  EXPECT_EQ(loaded->state.first, state_.first);
  EXPECT_EQ(loaded->state.second, state_.second);
  EXPECT_EQ(loaded->hash, *hash);
}

TEST_F(ModelStoreTest, AFreshModelHasNoStateFile) {
  state_.first.clear();
  state_.second.clear();
  const auto hash = store_.save("task", 0, layout_, state_);
  EXPECT_EQ(*storage_.list("data/models/task"), std::vector<std::string>{"v00000000.safetensors"});
  EXPECT_TRUE(store_.load("task", 0, *hash)->state.first.empty());
}

TEST_F(ModelStoreTest, MomentumAloneComesBackAlone) {
  state_.second.clear();
  const auto hash = store_.save("task", 1, layout_, state_);
  const auto loaded = store_.load("task", 1, *hash);
  EXPECT_EQ(loaded->state.first, state_.first);
  EXPECT_TRUE(loaded->state.second.empty());
}

TEST_F(ModelStoreTest, NamesHaveEightDigitsOrMore) {
  EXPECT_EQ(ModelStore::file_name("t", 12), "models/t/v00000012.safetensors");
  EXPECT_EQ(ModelStore::file_name("t", 1'234'567'890), "models/t/v1234567890.safetensors");
}

TEST_F(ModelStoreTest, TheHashCoversValuesMomentsAndVersion) {
  const Sha256 hash = store_.hash_of(layout_, state_, 3);
  EXPECT_NE(store_.hash_of(layout_, state_, 4), hash);
  robust::ModelState other = state_;
  other.second[4] = 1;
  EXPECT_NE(store_.hash_of(layout_, other, 3), hash);
  other = state_;
  other.values[0] = -1;
  EXPECT_NE(store_.hash_of(layout_, other, 3), hash);
}

TEST_F(ModelStoreTest, SavingAgainIsFineOnlyWithTheSameBytes) {
  const auto hash = store_.save("task", 3, layout_, state_);
  EXPECT_EQ(*store_.save("task", 3, layout_, state_), *hash);
  robust::ModelState other = state_;
  other.first[0] = 0;
  EXPECT_EQ(store_.save("task", 3, layout_, other).status().reason(), "model_differs");
  other = state_;
  other.values[0] = 0;
  EXPECT_EQ(store_.save("task", 3, layout_, other).status().reason(), "model_differs");
  EXPECT_TRUE(store_.load("task", 3, *hash).ok());
}

TEST_F(ModelStoreTest, EveryFlippedBitIsFound) {
  const auto hash = store_.save("task", 3, layout_, state_);
  const std::vector<std::string> names = *storage_.list("data/models/task");
  for (const std::string& name : names) {
    const std::size_t bits = 8 * bytes_of("models/task/" + name).size();
    for (std::size_t bit = 0; bit < bits; ++bit) {
      storage_.flip_bit("data/models/task/" + name, bit);
      ASSERT_EQ(store_.load("task", 3, *hash).status().reason(), "model_corrupt") << name << bit;
      storage_.flip_bit("data/models/task/" + name, bit);
    }
  }
  EXPECT_TRUE(store_.load("task", 3, *hash).ok());
}

TEST_F(ModelStoreTest, RemovingIsFineTwice) {
  const auto hash = store_.save("task", 3, layout_, state_);
  ASSERT_TRUE(store_.remove("task", 3).ok());
  ASSERT_TRUE(store_.remove("task", 3).ok());
  ASSERT_TRUE(store_.remove("never", 3).ok());
  EXPECT_TRUE(storage_.list("data/models/task")->empty());
  EXPECT_EQ(store_.load("task", 3, *hash).status().code(), Code::kNotFound);
}

TEST_F(ModelStoreTest, PowerCutAtEveryCallLeavesAWholeModelOrNone) {
  const Sha256 hash = store_.hash_of(layout_, state_, 3);
  bool finished = false;
  for (std::uint64_t call = 1; !finished; ++call) {
    for (std::uint64_t round = 0; round < 20; ++round) {
      SimulatedStorage storage(call * 100 + round);
      SCOPED_TRACE(call * 100 + round);
      ASSERT_TRUE(storage.make_directory("data").ok());
      ModelStore store(storage, "data");
      FaultPlan plan;
      plan.crash_call = call;
      storage.set_plan(plan);
      const auto saved = store.save("task", 3, layout_, state_);
      finished = !storage.crashed();
      storage.power_cycle();
      const auto loaded = store.load("task", 3, hash);
      if (saved.ok()) {
        ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
      }
      if (!loaded.ok()) {
        ASSERT_EQ(loaded.status().code(), Code::kNotFound) << loaded.status().to_string();
      }
      const auto again = store.save("task", 3, layout_, state_);
      ASSERT_TRUE(again.ok()) << again.status().to_string();
      ASSERT_TRUE(store.load("task", 3, hash).ok());
    }
  }
}

}  // namespace
}  // namespace muster::server
