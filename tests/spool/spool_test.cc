#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "base/simulated_storage.h"
#include "ingest/segment.h"
#include "tests/spool/items.h"

namespace muster::ingest::test {
namespace {

/// The same behaviour on a real and on the simulated disk.
class SpoolTest : public testing::TestWithParam<bool> {
 protected:
  SpoolTest() {
    if (GetParam()) {
      std::string name = (std::filesystem::temp_directory_path() / "muster-spool-XXXXXX").string();
      MUSTER_CHECK(::mkdtemp(name.data()) != nullptr);
      real_directory_ = name;
      options_.directory = name + "/data/spool";
      storage_ = std::make_unique<PosixStorage>();
    } else {
      options_.directory = "data/spool";
      storage_ = std::make_unique<SimulatedStorage>(7);
    }
    options_.segment_bytes = 16 * kBlockBytes;
    options_.low_water_bytes = 1;
  }
  ~SpoolTest() override {
    spool_.reset();
    if (!real_directory_.empty()) std::filesystem::remove_all(real_directory_);
  }

  Status open() {
    spool_.reset();
    seen_.clear();
    auto opened = Spool::open(
        *storage_, options_, stats_,
        [&](const RecordHeader& header, RecordLocation at) {
          seen_.push_back({header.nonce, at});
        },
        &report_);
    if (!opened.ok()) return opened.status();
    spool_ = std::move(opened).value();
    return {};
  }
  std::vector<Item> make_group(std::size_t count, RoundNumber round, std::uint32_t bytes) {
    std::vector<Item> items;
    for (std::size_t i = 0; i < count; ++i) items.push_back(make_item(++nonce_, 1, round, bytes));
    return items;
  }
  void expect_readable(const Item& item) {
    std::vector<std::byte> bytes(item.slot.size());
    const Status status = spool_->read(item.location, bytes);
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(bytes, item.slot);
  }
  std::vector<std::string> files(std::string_view prefix) {
    auto names = storage_->list(options_.directory).value();
    std::erase_if(names, [&](const std::string& name) { return !name.starts_with(prefix); });
    return names;
  }

  std::string real_directory_;
  std::unique_ptr<Storage> storage_;
  SpoolOptions options_;
  Stats stats_;
  std::unique_ptr<Spool> spool_;
  std::vector<std::pair<std::uint64_t, RecordLocation>> seen_;
  RecoveryReport report_;
  std::uint64_t nonce_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Disks, SpoolTest, testing::Values(false, true),
                         [](const auto& disk) { return disk.param ? "Real" : "Simulated"; });

TEST_P(SpoolTest, RecordsComeBackInOrderWithTheirBytes) {
  ASSERT_TRUE(open().ok());
  EXPECT_TRUE(spool_->commit({}).ok());
  std::vector<Item> all;
  for (const std::uint32_t bytes : {0u, 1u, 64u, 4095u, 4096u, 3968u, 20'000u}) {
    auto group = make_group(3, 1, bytes);
    ASSERT_TRUE(commit(*spool_, group).ok());
    for (Item& item : group) all.push_back(std::move(item));
  }
  for (const Item& item : all) expect_readable(item);

  ASSERT_TRUE(open().ok());
  ASSERT_EQ(seen_.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(seen_[i].first, all[i].header().nonce);
    EXPECT_EQ(seen_[i].second.offset, all[i].location.offset);
    expect_readable(all[i]);
  }
  EXPECT_EQ(report_.records, all.size());
  EXPECT_EQ(report_.truncated_bytes, 0u);
  EXPECT_EQ(spool_->live_bytes(), report_.bytes);
}

TEST_P(SpoolTest, GroupsBeginOnBlocksSoThatNoWriteTouchesDurableBytes) {
  ASSERT_TRUE(open().ok());
  for (int i = 0; i < 4; ++i) {
    auto group = make_group(2, 1, 100);
    ASSERT_TRUE(commit(*spool_, group).ok());
    EXPECT_EQ(group[0].location.offset % kBlockBytes, 0u);
    EXPECT_EQ(group[1].location.offset, group[0].location.offset + 256);
  }
}

TEST_P(SpoolTest, ACommitLargerThanASegmentIsSpreadAndDurable) {
  ASSERT_TRUE(open().ok());
  auto small = make_group(1, 1, 100);
  ASSERT_TRUE(commit(*spool_, small).ok());
  auto large = make_group(3000, 1, 100);
  ASSERT_TRUE(commit(*spool_, large).ok());
  EXPECT_GT(large.back().location.segment, 10u);
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(seen_.size(), 3001u);
  for (const Item& item : large) expect_readable(item);
}

TEST_P(SpoolTest, AWriteOfMoreThanEightMebibytesIsOneGroup) {
  options_.segment_bytes = std::uint64_t{24} << 20;
  ASSERT_TRUE(open().ok());
  auto group = make_group(20, 1, 1u << 20);
  ASSERT_TRUE(commit(*spool_, group).ok());
  EXPECT_EQ(group.back().header().group_index, 19);
  EXPECT_EQ(group.back().location.segment, 1u);
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(seen_.size(), 20u);
  for (const Item& item : group) expect_readable(item);
}

TEST_P(SpoolTest, AnOversizeRecordIsRefusedWithoutAFault) {
  ASSERT_TRUE(open().ok());
  auto oversize = make_group(1, 1, 14 * kBlockBytes);
  EXPECT_EQ(commit(*spool_, oversize).reason(), "record_too_large");
  auto group = make_group(1, 1, 14 * kBlockBytes - kRecordHeaderBytes);
  EXPECT_TRUE(commit(*spool_, group).ok());
}

TEST_P(SpoolTest, ReleasedSegmentsAreRecycledAndTheirOldRecordsStayDead) {
  ASSERT_TRUE(open().ok());
  std::vector<Item> old;
  for (RoundNumber round = 1; round <= 40; ++round) {
    for (int i = 0; i < 3; ++i) {
      auto group = make_group(2, round, 9000);
      ASSERT_TRUE(commit(*spool_, group).ok());
      if (round < 39) old.push_back(std::move(group[0]));
    }
    if (round > 2) {
      ASSERT_TRUE(spool_->release_round(1, round - 2).ok());
    }
  }
  EXPECT_LE(files("spare-").size(), 4u);
  EXPECT_LE(files("segment-").size(), 5u);
  for (const Item& item : old) {
    std::vector<std::byte> bytes(item.slot.size());
    EXPECT_EQ(spool_->read(item.location, bytes).reason(), "record_corrupt");
  }
  // Two rounds are live; released records may share their segments, but only those.
  const std::uint64_t live = spool_->live_bytes();
  EXPECT_EQ(live, 2 * 6 * record_bytes(9000));
  ASSERT_TRUE(open().ok());
  EXPECT_TRUE(files("spare-").empty());
  for (const auto& [nonce, at] : seen_) EXPECT_GT(nonce, nonce_ - 24);
  EXPECT_EQ(std::ranges::count_if(seen_, [&](auto& s) { return s.first > nonce_ - 12; }), 12);
  for (RoundNumber round = 1; round <= 40; ++round)
    ASSERT_TRUE(spool_->release_round(1, round).ok());
  EXPECT_EQ(spool_->live_bytes(), 0u);
  EXPECT_TRUE(files("segment-").empty());
}

TEST_P(SpoolTest, ReadersRunBesideTheCommitter) {
  ASSERT_TRUE(open().ok());
  auto kept = make_group(4, 100, 3000);
  ASSERT_TRUE(commit(*spool_, kept).ok());
  std::atomic<bool> done = false;
  std::atomic<int> bad = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t)
    readers.emplace_back([&, t] {
      const Item& item = kept[static_cast<std::size_t>(t)];
      std::vector<std::byte> bytes(item.slot.size());
      while (!done) bad += !spool_->read(item.location, bytes).ok() || bytes != item.slot;
    });
  for (RoundNumber round = 1; round <= 30; ++round) {
    auto group = make_group(3, round, 9000);
    EXPECT_TRUE(commit(*spool_, group).ok());
    EXPECT_TRUE(spool_->release_round(1, round).ok());
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(bad, 0);
}

TEST_P(SpoolTest, ARestartClosesTheTailAndGivesItsRestBack) {
  ASSERT_TRUE(open().ok());
  auto group = make_group(2, 1, 100);
  ASSERT_TRUE(commit(*spool_, group).ok());
  ASSERT_TRUE(open().ok());
  auto file = storage_->open(options_.directory + "/" + segment_name(1), OpenMode::kRead);
  EXPECT_EQ((*file)->size().value(), 3 * kBlockBytes);
  for (int i = 0; i < 3; ++i) {
    auto next = make_group(1, 1, 100);
    ASSERT_TRUE(commit(*spool_, next).ok());
    EXPECT_EQ(next[0].location.segment, 2u + static_cast<unsigned>(i));
    ASSERT_TRUE(open().ok());
  }
  EXPECT_EQ(seen_.size(), 5u);
}

TEST_P(SpoolTest, TwoServersCannotShareADirectory) {
  ASSERT_TRUE(open().ok());
  Stats stats;
  const auto second = Spool::open(
      *storage_, options_, stats, [](auto&, auto) {}, nullptr);
  EXPECT_EQ(second.status().reason(), "already_locked");
}

TEST_P(SpoolTest, OddSegmentSizesAreRefused) {
  for (const std::uint64_t bytes : {0ull, 4096ull, 100'001ull}) {
    options_.segment_bytes = bytes;
    EXPECT_EQ(open().reason(), "segment_bytes_invalid");
  }
}

TEST_P(SpoolTest, SegmentsOfAnotherSizeAreReadAndNotReused) {
  ASSERT_TRUE(open().ok());
  auto group = make_group(5, 1, 9000);
  ASSERT_TRUE(commit(*spool_, group).ok());
  options_.segment_bytes = 32 * kBlockBytes;
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(seen_.size(), 5u);
  expect_readable(group[4]);
  ASSERT_TRUE(spool_->release_round(1, 1).ok());
  EXPECT_TRUE(files("spare-").empty());
  EXPECT_TRUE(files("segment-").empty());
}

TEST_P(SpoolTest, CountsWhatItDoes) {
  ASSERT_TRUE(open().ok());
  auto group = make_group(3, 1, 100);
  ASSERT_TRUE(commit(*spool_, group).ok());
  EXPECT_EQ(stats_.counter("muster_spool_append_bytes_total").value(), kBlockBytes);
  EXPECT_EQ(stats_.gauge("muster_spool_bytes").value(),
            static_cast<double>(options_.segment_bytes));
  EXPECT_GT(stats_.gauge("muster_spool_free_bytes").value(), 0);
  EXPECT_EQ(stats_.counter("muster_spool_sync_errors_total").value(), 0u);
  const auto sizes = stats_.histogram("muster_spool_group_size").snapshot();
  EXPECT_EQ(sizes.sum, 3);
}

TEST(SpoolSpace, LowWaterHasHysteresisAndEndsByItself) {
  SimulatedStorage disk(3);
  SpoolOptions options;
  options.directory = "spool";
  options.segment_bytes = 16 * kBlockBytes;
  options.low_water_bytes = 1'000'000;
  Stats stats;
  disk.set_plan({.capacity_bytes = 2'000'000});
  const auto spool = Spool::open(
                         disk, options, stats, [](auto&, auto) {}, nullptr)
                         .value();
  const auto low_after = [&](std::uint64_t capacity) {
    disk.set_plan({.capacity_bytes = capacity});
    for (int i = 0; i < 100; ++i) (void)spool->low_on_space();
    return spool->low_on_space();
  };
  EXPECT_FALSE(low_after(1'000'000));
  EXPECT_TRUE(low_after(999'999));
  EXPECT_TRUE(low_after(1'200'000));
  EXPECT_FALSE(low_after(1'250'000));
}

TEST(SpoolSpace, AFullDiskIsRefusedBeforeAnythingIsWritten) {
  SimulatedStorage disk(4);
  SpoolOptions options;
  options.directory = "spool";
  options.segment_bytes = 16 * kBlockBytes;
  Stats stats;
  disk.set_plan({.capacity_bytes = 3 * options.segment_bytes});
  const auto spool = Spool::open(
                         disk, options, stats, [](auto&, auto) {}, nullptr)
                         .value();
  std::uint64_t nonce = 0;
  std::vector<Item> large;
  for (int i = 0; i < 24; ++i) large.push_back(make_item(++nonce, 1, 1, 9000));
  EXPECT_EQ(commit(*spool, large).reason(), "disk_full");
  EXPECT_EQ(spool->live_bytes(), 0u);
  // What fits is still taken, and a release makes room again.
  for (RoundNumber round = 1; round <= 3; ++round) {
    std::vector<Item> items;
    for (int i = 0; i < 6; ++i) items.push_back(make_item(++nonce, 1, round, 9000));
    EXPECT_TRUE(commit(*spool, items).ok());
  }
  std::vector<Item> items;
  for (int i = 0; i < 6; ++i) items.push_back(make_item(++nonce, 1, 4, 9000));
  EXPECT_EQ(commit(*spool, items).reason(), "disk_full");
  EXPECT_TRUE(spool->low_on_space());
  ASSERT_TRUE(spool->release_round(1, 1).ok());
  EXPECT_TRUE(commit(*spool, items).ok());
}

}  // namespace
}  // namespace muster::ingest::test
