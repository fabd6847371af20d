// The control store on a disk that loses power, fails, fills up and rots.
#include <gtest/gtest.h>

#include <cstdio>
#include <optional>

#include "base/simulated_storage.h"
#include "server/control_store.h"
#include "tests/server/control_store_lifecycle.h"

namespace muster::server {
namespace {

constexpr char kPath[] = "data/control.db";

/// What the store shows after 0, 1, 2, ... steps, and the calls the whole script makes.
struct Reference {
  std::vector<std::string> after;
  std::uint64_t calls = 0;
  std::uint64_t bytes = 0;
};

void make_data_directory(SimulatedStorage& storage) {
  ASSERT_TRUE(storage.make_directory("data").ok());
  ASSERT_TRUE(storage.sync_directory(".").ok());
}

const Reference& reference() {
  static const Reference result = [] {
    Reference made;
    SimulatedStorage storage(1);
    make_data_directory(storage);
    auto store = ControlStore::open(storage, kPath);
    EXPECT_TRUE(store.ok()) << store.status().to_string();
    made.after.push_back(show(**store));
    for (const LifecycleStep& step : lifecycle()) {
      EXPECT_TRUE(step.run(**store).ok()) << step.name;
      made.after.push_back(show(**store));
    }
    made.calls = storage.calls();
    store->reset();
    const std::vector<std::string> names = *storage.list("data");
    for (const std::string& name : names)
      made.bytes += *(*storage.open("data/" + name, OpenMode::kRead))->size();
    return made;
  }();
  return result;
}

/// How far a run came, and the secret it saw if it came past opening.
struct Progress {
  bool opened = false;
  std::size_t acknowledged = 0;
  std::optional<ingest::NodeSecret> secret;
};

Progress run_until_failure(Storage& storage) {
  Progress run;
  auto store = ControlStore::open(storage, kPath);
  if (!store.ok()) return run;
  run.opened = true;
  run.secret = (*store)->node_secret();
  for (const LifecycleStep& step : lifecycle()) {
    if (!step.run(**store).ok()) break;
    ++run.acknowledged;
  }
  return run;
}

/// What is there now is what was acknowledged, with or without the step that failed.
void expect_before_or_after(Storage& storage, const Progress& run) {
  auto store = ControlStore::open(storage, kPath);
  ASSERT_TRUE(store.ok()) << store.status().to_string();
  if (run.secret) {
    ASSERT_EQ((*store)->node_secret(), *run.secret);
  }
  const auto& after = reference().after;
  const std::string now = show(**store);
  const std::size_t next = std::min(run.acknowledged + 1, after.size() - 1);
  ASSERT_TRUE(now == after[run.acknowledged] || now == after[next])
      << "acknowledged " << run.acknowledged << " steps, found\n"
      << now;
  // And it goes on from there.
  const auto steps = lifecycle();
  for (std::size_t i = now == after[run.acknowledged] ? run.acknowledged : next; i < steps.size();
       ++i)
    ASSERT_TRUE(steps[i].run(**store).ok()) << steps[i].name;
  ASSERT_EQ(show(**store), after.back());
}

TEST(ControlStoreFaults, PowerCutAtEveryCallLosesNothingAcknowledged) {
  const std::uint64_t calls = reference().calls;
  std::printf("%llu calls\n", static_cast<unsigned long long>(calls));
  ASSERT_GT(calls, 100u);
  for (std::uint64_t call = 1; call <= calls; ++call) {
    for (std::uint64_t round = 0; round < 4; ++round) {
      const std::uint64_t seed = call * 1'000 + round;
      SCOPED_TRACE(testing::Message() << "call " << call << " seed " << seed);
      SimulatedStorage storage(seed);
      make_data_directory(storage);
      FaultPlan plan;
      plan.crash_call = call;
      storage.set_plan(plan);
      const Progress run = run_until_failure(storage);
      storage.power_cycle();
      expect_before_or_after(storage, run);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(ControlStoreFaults, AFailedCallIsAFailedStepAndTheNextStartIsSound) {
  for (std::uint64_t call = 1; call <= reference().calls; ++call) {
    for (const bool power_goes : {false, true}) {
      const std::uint64_t seed = 500'000 + call;
      SCOPED_TRACE(testing::Message() << "call " << call << " seed " << seed);
      SimulatedStorage storage(seed);
      make_data_directory(storage);
      FaultPlan plan;
      plan.fail_call = call;
      storage.set_plan(plan);
      const Progress run = run_until_failure(storage);
      storage.set_plan({});
      if (power_goes) storage.power_cycle();
      expect_before_or_after(storage, run);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(ControlStoreFaults, AfterAFailedSyncNothingIsWrittenAnyMore) {
  // One transaction, each of its calls failing once. A failed write alone may be tried again.
  std::size_t failed_syncs = 0, failed_writes = 0;
  bool finished = false;
  for (std::uint64_t call = 1; !finished; ++call) {
    SCOPED_TRACE(call);
    SimulatedStorage storage(call);
    make_data_directory(storage);
    auto store = ControlStore::open(storage, kPath);
    ASSERT_TRUE(store.ok());
    FaultPlan plan;
    plan.fail_call = call;
    storage.set_plan(plan);
    const Status status = (*store)->create_task("a", "", 1).status();
    finished = storage.calls() < call;
    if (finished) break;
    ASSERT_EQ(status.reason(), "io_error") << status.to_string();
    const std::uint64_t calls = storage.calls();
    const Status next = (*store)->create_task("b", "", 1).status();
    if (next.ok()) {
      ++failed_writes;
      continue;
    }
    ++failed_syncs;
    EXPECT_EQ(next.reason(), "io_error");
    EXPECT_EQ(storage.calls(), calls);
  }
  // The journal, the database and the cut of the journal are synced, the database file is written.
  EXPECT_GE(failed_syncs, 3u);
  EXPECT_GE(failed_writes, 2u);
}

TEST(ControlStoreFaults, AFullDiskIsARefusalAndServiceReturnsWithSpace) {
  const std::uint64_t bytes = reference().bytes + 256 * 1024;
  std::size_t refused = 0;
  for (std::uint64_t capacity = 0; capacity <= bytes; capacity += 1024) {
    SCOPED_TRACE(capacity);
    SimulatedStorage storage(capacity + 3);
    make_data_directory(storage);
    FaultPlan plan;
    plan.capacity_bytes = capacity;
    storage.set_plan(plan);
    auto store = ControlStore::open(storage, kPath);
    if (!store.ok()) {
      ASSERT_EQ(store.status().reason(), "disk_full") << store.status().to_string();
      ++refused;
      storage.set_plan({});
      expect_before_or_after(storage, {});
    } else {
      std::size_t done = 0;
      const auto steps = lifecycle();
      for (; done < steps.size(); ++done) {
        const Status status = steps[done].run(**store);
        if (status.ok()) continue;
        ASSERT_EQ(status.reason(), "disk_full") << steps[done].name << ' ' << status.to_string();
        ASSERT_EQ(show(**store), reference().after[done]) << steps[done].name;
        ++refused;
        storage.set_plan({});  // the same store goes on
        ASSERT_TRUE(steps[done].run(**store).ok()) << steps[done].name;
      }
      ASSERT_EQ(show(**store), reference().after.back());
    }
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(refused, 20u);
}

TEST(ControlStoreFaults, EveryFlippedBitOfAPageInUseIsFound) {
  SimulatedStorage storage(1);
  make_data_directory(storage);
  const Progress run = run_until_failure(storage);
  ASSERT_EQ(run.acknowledged, lifecycle().size());
  const std::uint64_t size = *(*storage.open(kPath, OpenMode::kRead))->size();
  std::size_t found = 0, harmless = 0;
  // A bit in every 16 bytes; which one walks with the offset.
  for (std::uint64_t offset = 0; offset < size; offset += 16) {
    const std::uint64_t bit = 8 * offset + (offset / 16 * 37) % 128;
    storage.flip_bit(kPath, bit);
    auto store = ControlStore::open(storage, kPath);
    if (store.ok()) {
      ++harmless;  // a page on the free list: nobody reads it
      ASSERT_EQ(show(**store), reference().after.back()) << bit;
      store->reset();
    } else {
      ++found;
      ASSERT_EQ(store.status().reason(), "store_corrupt") << bit << store.status().to_string();
    }
    storage.flip_bit(kPath, bit);
  }
  std::printf("%zu flips found, %zu in free pages\n", found, harmless);
  EXPECT_EQ(harmless, 0u);
  ASSERT_TRUE(ControlStore::open(storage, kPath).ok());
}

TEST(ControlStoreFaults, ATruncatedFileIsFound) {
  SimulatedStorage storage(1);
  make_data_directory(storage);
  run_until_failure(storage);
  auto whole = *read_file(storage, kPath, 1 << 24);
  for (std::size_t length = whole.size() - 512; length > 4 * 512; length -= 3 * 512) {
    ASSERT_TRUE(write_file(storage, kPath, ConstBytes(whole).first(length)).ok());
    const auto store = ControlStore::open(storage, kPath);
    ASSERT_FALSE(store.ok()) << length;
    ASSERT_EQ(store.status().reason(), "store_corrupt") << length;
  }
}

TEST(ControlStoreFaults, OtherFilesAreNotTakenForAStore) {
  SimulatedStorage storage(1);
  make_data_directory(storage);
  std::vector<std::byte> page(8192, std::byte{'x'});
  ASSERT_TRUE(write_file(storage, kPath, page).ok());
  EXPECT_EQ(ControlStore::open(storage, kPath).status().reason(), "store_corrupt");
}

}  // namespace
}  // namespace muster::server
