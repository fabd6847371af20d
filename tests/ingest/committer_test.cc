#include "ingest/committer.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/ingest/fixture.h"

namespace muster::ingest {
namespace {

constexpr Nanoseconds kPatience = 20 * kSecond;

class CommitterTest : public ::testing::Test {
 protected:
  void start(const CommitOptions& options) {
    committer = std::make_unique<Committer>(spool, slab.pool, arrivals, wake, options, stats,
                                            [this](Status status) {
                                              ++faults;
                                              fault.set_value(std::move(status));
                                            });
  }
  Admitted fill() {
    const auto slot = slab.pool.take();
    RecordHeader header;
    header.chunk = *slot;
    store(slab.pool.bytes(*slot), 0, header);
    return {*slot, 256, 5};
  }
  std::size_t await_arrivals(std::size_t n) {
    while (got.size() < n && arrivals.pop_many(got, n - got.size(), kPatience) > 0) {
    }
    return got.size();
  }

  Slab slab{64, 256};
  FakeSpool spool;
  Stats stats;
  BoundedQueue<Arrival> arrivals{80};
  WakeUp wake;
  std::promise<Status> fault;
  int faults = 0;
  std::vector<Arrival> got;
  std::unique_ptr<Committer> committer;
};

TEST_F(CommitterTest, HandsUpInOrderWhatIsDurable) {
  start({});
  const Admitted chunks[] = {fill(), fill(), fill()};
  committer->admit(chunks);
  ASSERT_EQ(await_arrivals(3), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got[i].slot, chunks[i].slot);
    EXPECT_EQ(got[i].header.chunk, chunks[i].slot);
    EXPECT_EQ(got[i].location.offset, i);
    EXPECT_EQ(got[i].received, 5);
  }
  committer->stop();
  std::vector<SlotIndex> durable;
  committer->take_durable(durable);
  EXPECT_EQ(durable.size(), 3u);
  EXPECT_EQ(spool.groups(), std::vector<std::size_t>{3});
}

TEST_F(CommitterTest, AGroupTakesWhatWaitedUpToFourTimesItsBytes) {
  CommitOptions options;
  options.window = kPatience;  // only the bytes can end it
  options.bytes = 2 * 256;
  start(options);
  std::vector<Admitted> chunks;
  for (int i = 0; i < 12; ++i) chunks.push_back(fill());
  committer->admit(chunks);
  ASSERT_EQ(await_arrivals(12), 12u);
  EXPECT_EQ(spool.groups(), (std::vector<std::size_t>{8, 4}));
}

TEST_F(CommitterTest, AFullSlabEndsTheWaitForCompany) {
  CommitOptions options;
  options.window = 3600 * kSecond;
  start(options);
  std::vector<Admitted> chunks;
  while (slab.pool.free_count() > 0) chunks.push_back(fill());
  committer->admit(chunks);
  EXPECT_EQ(await_arrivals(64), 64u);
}

TEST_F(CommitterTest, StopCommitsWhatWasAdmitted) {
  CommitOptions options;
  options.window = 3600 * kSecond;
  start(options);
  const Admitted chunk = fill();
  committer->admit({&chunk, 1});
  committer->stop();
  EXPECT_EQ(spool.committed().size(), 1u);
}

TEST_F(CommitterTest, AfterAFaultNothingIsDurableAndItIsSaidOnce) {
  spool.broken = true;
  start({});
  const Admitted first = fill();
  committer->admit({&first, 1});
  EXPECT_EQ(fault.get_future().get().reason(), "io_error");
  spool.broken = false;
  const Admitted second = fill();
  committer->admit({&second, 1});
  committer->stop();
  EXPECT_TRUE(committer->faulted());
  EXPECT_EQ(faults, 1);
  EXPECT_EQ(arrivals.size(), 0u);
  std::vector<SlotIndex> durable;
  committer->take_durable(durable);
  EXPECT_TRUE(durable.empty());
  EXPECT_TRUE(spool.committed().empty());
}

TEST_F(CommitterTest, AFullDiskIsWaitedForWhileRoundsAreReleased) {
  spool.full_times = 1'000'000;
  spool.release_empties = 0;
  start({});
  const Admitted chunk = fill();
  committer->admit({&chunk, 1});
  while (!committer->disk_low()) std::this_thread::yield();
  EXPECT_EQ(arrivals.size(), 0u);
  committer->release_round(1, 1);
  EXPECT_EQ(await_arrivals(1), 1u);
  EXPECT_FALSE(committer->faulted());
}

TEST_F(CommitterTest, ADiskThatStaysFullIsAFault) {
  spool.full_times = 1'000'000;
  CommitOptions options;
  options.disk_full_patience = 1;
  start(options);
  const Admitted chunk = fill();
  committer->admit({&chunk, 1});
  EXPECT_EQ(fault.get_future().get().reason(), "disk_full");
  EXPECT_EQ(arrivals.size(), 0u);
}

}  // namespace
}  // namespace muster::ingest
