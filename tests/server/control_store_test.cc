#include "server/control_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "base/limits.h"
#include "base/simulated_storage.h"
#include "server/control_store_db.h"
#include "tests/server/control_store_lifecycle.h"

namespace muster::server {
namespace {

constexpr char kPath[] = "data/control.db";

class ControlStoreTest : public testing::Test {
 protected:
  ControlStoreTest() {
    EXPECT_TRUE(storage_.make_directory("data").ok());
    open();
  }
  void open() {
    store_.reset();
    auto opened = ControlStore::open(storage_, kPath);
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    store_ = std::move(*opened);
  }
  void make_task() { ASSERT_EQ(*store_->create_task("task", "text", 5), 1u); }

  SimulatedStorage storage_{1};
  std::unique_ptr<ControlStore> store_;
};

TEST_F(ControlStoreTest, KeepsItsSecretsOverARestart) {
  const auto secret = store_->node_secret();
  const auto pair = store_->server_key();
  EXPECT_NE(secret, ingest::NodeSecret{});
  open();
  EXPECT_EQ(store_->node_secret(), secret);
  EXPECT_EQ(store_->server_key().public_key, pair.public_key);
  EXPECT_EQ(store_->server_key().secret_key, pair.secret_key);
}

TEST_F(ControlStoreTest, TheLifecycleReadsTheSameAfterARestart) {
  for (const LifecycleStep& step : lifecycle()) {
    const Status status = step.run(*store_);
    ASSERT_TRUE(status.ok()) << step.name << ' ' << status.to_string();
    const std::string before = show(*store_);
    open();
    ASSERT_EQ(show(*store_), before) << step.name;
  }
}

TEST_F(ControlStoreTest, EveryStepButNewTasksMayBeRepeated) {
  for (const LifecycleStep& step : lifecycle()) {
    ASSERT_TRUE(step.run(*store_).ok()) << step.name;
    const std::string before = show(*store_);
    const Status again = step.run(*store_);
    if (step.name.ends_with("task"))
      EXPECT_EQ(again.reason(), "task_exists");
    else
      EXPECT_TRUE(again.ok()) << step.name << ' ' << again.to_string();
    EXPECT_EQ(show(*store_), before) << step.name;
  }
}

TEST_F(ControlStoreTest, EveryWrongTransitionIsRefusedAndChangesNothing) {
  make_task();
  using Step = std::function<Status()>;
  const std::array<Step, 6> steps = {
      [&] { return store_->open_round(test_round(1, 1)); },
      [&] { return store_->seal_round(1, 1, test_ids(2), test_hash(1), 7); },
      [&] { return store_->aggregate_round(1, 1, test_hash(2), "{}"); },
      [&] {
        return store_->release_round(1, 1, {1, 1, "file", test_hash(2), 8});
      },
      [&] { return store_->shred_round(1, 1); },
      [&] { return store_->abandon_round(1, 1, "{}"); }};
  // After `done` steps of the way to shredded, which others are allowed.
  for (std::size_t done = 0; done <= 5; ++done) {
    if (done > 0) {
      ASSERT_TRUE(steps[done - 1]().ok()) << done;
    }
    const std::string before = show(*store_);
    for (std::size_t next = 0; next < steps.size(); ++next) {
      const bool again = done > 0 && next == done - 1, forward = next == done && next < 5;
      const bool abandoned = next == 5 && (done == 1 || done == 2);
      if (again || forward || abandoned) continue;
      EXPECT_EQ(steps[next]().reason(), "round_state") << done << " -> " << next;
    }
    EXPECT_EQ(show(*store_), before) << done;
  }
}

TEST_F(ControlStoreTest, AnAbandonedRoundIsTheEndOfIt) {
  make_task();
  ASSERT_TRUE(store_->open_round(test_round(1, 1)).ok());
  ASSERT_TRUE(store_->seal_round(1, 1, test_ids(2), test_hash(1), 7).ok());
  ASSERT_TRUE(store_->abandon_round(1, 1, "{}").ok());
  EXPECT_EQ(store_->seal_round(1, 1, test_ids(2), test_hash(1), 7).reason(), "round_state");
  EXPECT_EQ(store_->aggregate_round(1, 1, test_hash(1), "{}").reason(), "round_state");
  EXPECT_EQ(store_->open_round(test_round(1, 1)).reason(), "round_state");
  EXPECT_EQ((*store_->round(1, 1))->secret, ingest::NodeSecret{});
  EXPECT_TRUE(store_->open_round(test_round(1, 2)).ok());
}

TEST_F(ControlStoreTest, TheSameStepWithOtherContentIsRefused) {
  make_task();
  ASSERT_TRUE(store_->open_round(test_round(1, 1)).ok());
  RoundRow other = test_round(1, 1);
  other.secret.fill(std::byte{1});
  EXPECT_EQ(store_->open_round(other).reason(), "round_state");
  ASSERT_TRUE(store_->seal_round(1, 1, test_ids(2), test_hash(1), 7).ok());
  EXPECT_EQ(store_->seal_round(1, 1, test_ids(3), test_hash(1), 7).reason(), "round_state");
  EXPECT_EQ(store_->seal_round(1, 1, test_ids(2), test_hash(2), 7).reason(), "round_state");
  ASSERT_TRUE(store_->aggregate_round(1, 1, test_hash(1), "{}").ok());
  EXPECT_EQ(store_->aggregate_round(1, 1, test_hash(2), "{}").reason(), "round_state");
  EXPECT_EQ(store_->release_round(1, 1, {1, 1, "f", test_hash(2), 1}).reason(), "round_state");
  ASSERT_TRUE(store_->release_round(1, 1, {1, 1, "f", test_hash(1), 1}).ok());
  EXPECT_EQ(store_->release_round(1, 1, {1, 1, "g", test_hash(1), 1}).reason(), "round_state");
  EXPECT_EQ(store_->add_model({1, 1, "g", test_hash(1), 1}).reason(), "model_differs");
}

TEST_F(ControlStoreTest, ShreddingWipesTheSecretFromTheFile) {
  make_task();
  const RoundRow row = test_round(1, 1);
  ASSERT_TRUE(store_->open_round(row).ok());
  auto holds_secret = [&] {
    const std::vector<std::string> names = *storage_.list("data");
    for (const std::string& name : names) {
      const auto file = read_file(storage_, "data/" + name, 1 << 24);
      if (as_text(*file).find(as_text(row.secret)) != std::string_view::npos) return true;
    }
    return false;
  };
  EXPECT_TRUE(holds_secret());
  ASSERT_TRUE(store_->seal_round(1, 1, test_ids(2), test_hash(1), 7).ok());
  ASSERT_TRUE(store_->aggregate_round(1, 1, test_hash(1), "{}").ok());
  ASSERT_TRUE(store_->release_round(1, 1, {1, 1, "f", test_hash(1), 1}).ok());
  EXPECT_TRUE(holds_secret());
  ASSERT_TRUE(store_->shred_round(1, 1).ok());
  EXPECT_FALSE(holds_secret());
  EXPECT_EQ((*store_->round(1, 1))->sealed, test_ids(2));
}

TEST_F(ControlStoreTest, RoundsComeNewestFirstAndOpenOnlyForward) {
  make_task();
  for (RoundNumber number = 1; number <= 5; ++number) {
    ASSERT_TRUE(store_->open_round(test_round(1, number)).ok());
    ASSERT_TRUE(store_->abandon_round(1, number, "{}").ok());
  }
  const auto newest = store_->rounds(1, 2);
  ASSERT_EQ(newest->size(), 2u);
  EXPECT_EQ((*newest)[0].round, 5u);
  EXPECT_EQ((*newest)[1].round, 4u);
  EXPECT_EQ((*store_->latest_round(1))->round, 5u);
  EXPECT_EQ(store_->rounds(1, ~std::size_t{0})->size(), 5u);
  ASSERT_TRUE(store_->open_round(test_round(1, 9)).ok());
  EXPECT_EQ(store_->open_round(test_round(1, 7)).reason(), "round_state");
}

TEST_F(ControlStoreTest, WhatIsNotThereIsSaidToBeMissing) {
  EXPECT_FALSE(store_->latest_round(1)->has_value());
  EXPECT_FALSE(store_->round(1, ~RoundNumber{0})->has_value());
  EXPECT_TRUE(store_->models(1)->empty());
  EXPECT_EQ(store_->open_round(test_round(1, 1)).reason(), "task_unknown");
  EXPECT_EQ(store_->shred_round(1, ~RoundNumber{0}).reason(), "round_state");
  EXPECT_EQ(store_->revoke(test_key(1)).reason(), "key_unknown");
  EXPECT_TRUE(store_->remove_model(1, 1).ok());
}

TEST_F(ControlStoreTest, ThereAreAtMostSoManyTasks) {
  for (std::uint32_t i = 0; i < limits::kMaxTasks; ++i)
    ASSERT_EQ(*store_->create_task("task" + std::to_string(i), "", 0), i + 1);
  EXPECT_EQ(store_->create_task("one more", "", 0).status().reason(), "too_many_tasks");
  EXPECT_EQ(store_->create_task("task3", "", 0).status().reason(), "task_exists");
}

TEST_F(ControlStoreTest, ARevokedKeyStaysRevoked) {
  const KeyRow key{test_key(1), ingest::KeyRole::kDevice, false, "a", 1};
  ASSERT_TRUE(store_->enroll({key}).ok());
  ASSERT_TRUE(store_->revoke(key.key).ok());
  const KeyRow fresh{test_key(2), ingest::KeyRole::kDevice, false, "b", 1};
  EXPECT_EQ(store_->enroll({fresh, key}).reason(), "key_revoked");
  ASSERT_EQ(store_->keys()->size(), 1u);  // all of a list or nothing
  EXPECT_TRUE(store_->keys()->front().revoked);
}

TEST_F(ControlStoreTest, EnrollingAgainChangesRoleAndLabel) {
  ASSERT_TRUE(store_->enroll({{test_key(1), ingest::KeyRole::kDevice, false, "a", 1}}).ok());
  ASSERT_TRUE(store_->enroll({{test_key(1), ingest::KeyRole::kGateway, false, "b", 2}}).ok());
  const auto keys = store_->keys();
  ASSERT_EQ(keys->size(), 1u);
  EXPECT_EQ(keys->front().role, ingest::KeyRole::kGateway);
  EXPECT_EQ(keys->front().label, "b");
}

TEST_F(ControlStoreTest, TextIsNeverSql) {
  const std::string name = "'); DROP TABLE task; --\"";
  ASSERT_TRUE(store_->create_task(name, std::string("a\0b", 3), 1).ok());
  EXPECT_EQ(store_->tasks()->front().name, name);
  EXPECT_EQ(store_->tasks()->front().text, std::string("a\0b", 3));
}

TEST_F(ControlStoreTest, AStoreOfTheFirstSchemaGetsItsKeyTable) {
  make_task();
  ASSERT_TRUE(store_->open_round(test_round(1, 1)).ok());
  store_.reset();
  {
    auto database = Database::open(storage_, kPath);
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)
                    ->execute("DROP TABLE wrapped_key; DROP TABLE ledger; DROP TABLE participant; "
                              "DROP TABLE private_round; PRAGMA user_version = 1")
                    .ok());
  }
  open();
  EXPECT_TRUE(store_->wrapped_keys()->empty());
  EXPECT_EQ((*store_->round(1, 1))->secret, test_round(1, 1).secret);
  ASSERT_TRUE(store_->shred_round(1, 1).reason() == "round_state");
  RoundRow next = test_round(1, 2);
  ASSERT_TRUE(store_->open_round(next).ok());
  ASSERT_EQ(store_->wrapped_keys()->size(), 1u);
  EXPECT_EQ(store_->wrapped_keys()->front().wrapped, *next.spool_key);
}

TEST_F(ControlStoreTest, TheSpoolKeyGoesWithTheRoundAndLeavesNoCopyInTheFile) {
  make_task();
  const RoundRow row = test_round(1, 1);
  const auto file_has_key = [&] {
    const auto bytes = read_file(storage_, kPath, std::size_t{64} << 20).value();
    return !std::ranges::search(bytes, *row.spool_key).empty();
  };
  ASSERT_TRUE(store_->open_round(row).ok());
  ASSERT_TRUE(store_->seal_round(1, 1, test_ids(3), test_hash(1), 30).ok());
  ASSERT_TRUE(store_->aggregate_round(1, 1, test_hash(1), "{}").ok());
  ASSERT_TRUE(store_->release_round(1, 1, {1, 1, "models/first/1", test_hash(1), 40}).ok());
  EXPECT_EQ(store_->wrapped_keys()->size(), 1u);
  EXPECT_TRUE(file_has_key());
  ASSERT_TRUE(store_->shred_round(1, 1).ok());
  EXPECT_TRUE(store_->wrapped_keys()->empty());
  EXPECT_FALSE(file_has_key());

  ASSERT_TRUE(store_->open_round(test_round(1, 2)).ok());
  ASSERT_TRUE(store_->abandon_round(1, 2, "{}").ok());
  EXPECT_TRUE(store_->wrapped_keys()->empty());
}

TEST_F(ControlStoreTest, ALaterSchemaIsRefusedByName) {
  store_.reset();
  {
    auto database = Database::open(storage_, kPath);
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)->execute("PRAGMA user_version = 4").ok());
  }
  EXPECT_EQ(ControlStore::open(storage_, kPath).status().reason(), "store_newer");
}

TEST_F(ControlStoreTest, TwoStoresOfOneProcessDoNotMeet) {
  SimulatedStorage other(2);
  ASSERT_TRUE(other.make_directory("data").ok());
  auto second = ControlStore::open(other, kPath);
  ASSERT_TRUE(second.ok());
  make_task();
  EXPECT_TRUE((*second)->tasks()->empty());
  EXPECT_NE((*second)->node_secret(), store_->node_secret());
}

TEST(ControlStoreOnDisk, ItsFilesAreItsOwnersAlone) {
  std::string directory = (std::filesystem::temp_directory_path() / "muster-XXXXXX").string();
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  PosixStorage storage;
  {
    auto store = ControlStore::open(storage, directory + "/control.db");
    ASSERT_TRUE(store.ok()) << store.status().to_string();
    for (const LifecycleStep& step : lifecycle()) ASSERT_TRUE(step.run(**store).ok()) << step.name;
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      ++files;
      EXPECT_EQ(entry.status().permissions(),
                std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
          << entry.path();
    }
    EXPECT_EQ(files, 2u);  // the database and its journal
  }
  EXPECT_TRUE(ControlStore::open(storage, directory + "/control.db").ok());
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace muster::server
