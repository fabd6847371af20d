// Damage is found and never used (reliability R5): every byte of a small spool.
#include <gtest/gtest.h>

#include <map>

#include "base/simulated_storage.h"
#include "ingest/segment.h"
#include "tests/spool/items.h"

namespace muster::ingest::test {
namespace {

const std::string kDirectory = "spool";

/// Two closed segments and an open tail of three groups.
class SmallSpool {
 public:
  explicit SmallSpool(bool sealed = false) {
    options_.keys = &keys_;
    put_key(keys_, 1, 1);
    const auto item = [&](std::uint32_t bytes) {
      Item made = make_item(++nonce_, 1, 1, bytes);
      return sealed ? seal(std::move(made)) : made;
    };
    options_.directory = kDirectory;
    options_.segment_bytes = 6 * kBlockBytes;
    MUSTER_CHECK(open().ok());
    // Three records in two blocks, two groups to a segment.
    for (std::uint64_t group = 0; group < 5; ++group) {
      for (std::uint64_t i = 0; i < 3; ++i)
        items_.push_back(item(static_cast<std::uint32_t>(1500 + 301 * i)));
      MUSTER_CHECK(commit(*spool_, std::span(items_).last(3)).ok());
    }
    for (int i = 0; i < 2; ++i) {
      items_.push_back(item(900));
      MUSTER_CHECK(commit(*spool_, std::span(items_).last(1)).ok());
    }
  }

  Status open() {
    spool_.reset();
    seen_.clear();
    auto opened = Spool::open(
        disk_, options_, stats_,
        [&](const RecordHeader& header, RecordLocation at) { seen_[header.nonce] = at; }, &report_);
    if (!opened.ok()) return opened.status();
    spool_ = std::move(opened).value();
    return {};
  }
  void close() { spool_.reset(); }
  void flip(std::uint64_t segment, std::uint64_t bit) {
    disk_.flip_bit(kDirectory + "/" + segment_name(segment), bit);
  }
  /// Everything that was reported reads back as it was written.
  bool seen_is_right() {
    for (const auto& [nonce, at] : seen_) {
      const Item& item = items_[nonce - 1];
      std::vector<std::byte> bytes(item.slot.size());
      if (!spool_->read(at, bytes).ok() || bytes != item.slot) return false;
    }
    return true;
  }

  std::vector<Item> items_;
  std::map<std::uint64_t, RecordLocation> seen_;
  std::unique_ptr<Spool> spool_;
  SimulatedStorage disk_{1};
  RoundKeys keys_;
  SpoolOptions options_;
  RecoveryReport report_;

 private:
  Stats stats_;
  std::uint64_t nonce_ = 0;
};

/// With plain and with encrypted records.
class SpoolCorruptionOf : public testing::TestWithParam<bool> {};

TEST_P(SpoolCorruptionOf, EveryByteOfAClosedSegmentIsWatched) {
  SmallSpool spool(GetParam());
  ASSERT_EQ(spool.items_[11].location.segment, 2u);
  spool.close();
  for (std::uint64_t segment = 1; segment <= 2; ++segment) {
    for (std::uint64_t byte = 0; byte < 6 * kBlockBytes; ++byte) {
      const std::uint64_t bit = byte * 8 + byte % 8;
      spool.flip(segment, bit);
      const Status status = spool.open();
      ASSERT_EQ(status.reason(), "spool_corrupt") << "byte " << byte << " of segment " << segment;
      ASSERT_NE(status.message().find(segment_name(segment)), std::string::npos);
      spool.flip(segment, bit);
    }
  }
  ASSERT_TRUE(spool.open().ok());
  EXPECT_EQ(spool.seen_.size(), 17u);
}

TEST_P(SpoolCorruptionOf, EveryByteOfTheTailIsWatchedUpToItsLastGroup) {
  SmallSpool spool(GetParam());
  const std::uint64_t last_group = spool.items_.back().location.offset;
  for (std::uint64_t byte = 0; byte < last_group; ++byte) {
    spool.close();
    spool.flip(3, byte * 8 + byte % 8);
    ASSERT_EQ(spool.open().reason(), "spool_corrupt") << "byte " << byte;
    spool.flip(3, byte * 8 + byte % 8);
  }
}

TEST_P(SpoolCorruptionOf, DamageInTheLastGroupOfTheTailIsNeverUsed) {
  const Item last = SmallSpool(GetParam()).items_.back();
  const std::uint64_t begin = last.location.offset;
  for (std::uint64_t byte = begin; byte < begin + disk_bytes(last.header()); byte += 5) {
    SmallSpool spool(GetParam());
    spool.close();
    spool.flip(3, byte * 8 + byte % 8);
    ASSERT_TRUE(spool.open().ok()) << "byte " << byte;
    ASSERT_EQ(spool.seen_.size(), 16u) << "byte " << byte;
    ASSERT_TRUE(spool.seen_is_right());
  }
}

TEST_P(SpoolCorruptionOf, EveryByteOfARecordIsCheckedWhenItIsRead) {
  SmallSpool spool(GetParam());
  const Item& item = spool.items_[4];
  std::vector<std::byte> bytes(item.slot.size());
  for (std::uint64_t byte = 0; byte < disk_bytes(item.header()); ++byte) {
    const std::uint64_t bit = (item.location.offset + byte) * 8 + byte % 8;
    spool.flip(item.location.segment, bit);
    ASSERT_EQ(spool.spool_->read(item.location, bytes).reason(), "record_corrupt") << byte;
    spool.flip(item.location.segment, bit);
  }
  ASSERT_TRUE(spool.spool_->read(item.location, bytes).ok());
  EXPECT_EQ(bytes, item.slot);
  EXPECT_EQ(spool.spool_->read({9, 4096}, bytes).reason(), "record_corrupt");
  EXPECT_EQ(spool.spool_->read({1, 64}, bytes).reason(), "record_corrupt");
  EXPECT_EQ(spool.spool_->read(item.location, std::span(bytes).first(200)).reason(),
            "record_corrupt");
}

TEST_P(SpoolCorruptionOf, QuarantineKeepsTheSoundRecordsBeforeTheDamage) {
  SmallSpool spool(GetParam());
  spool.close();
  const Item& victim = spool.items_[7];  // the second record of segment 2
  spool.flip(2, (victim.location.offset + 200) * 8);
  spool.options_.accept_quarantine = true;
  ASSERT_TRUE(spool.open().ok());
  ASSERT_EQ(spool.report_.quarantined,
            std::vector<std::string>{"spool/quarantine/" + segment_name(2)});
  EXPECT_EQ(spool.seen_.size(), 17u - 5u);
  EXPECT_TRUE(spool.seen_.contains(7));
  EXPECT_TRUE(spool.seen_is_right());
  EXPECT_TRUE(spool.disk_.exists(spool.report_.quarantined.front()));

  spool.options_.accept_quarantine = false;
  spool.disk_.power_cycle();
  ASSERT_TRUE(spool.open().ok());
  EXPECT_EQ(spool.seen_.size(), 12u);
  EXPECT_TRUE(spool.report_.quarantined.empty());
  EXPECT_TRUE(spool.seen_is_right());
}

INSTANTIATE_TEST_SUITE_P(Records, SpoolCorruptionOf, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Sealed" : "Plain"; });

TEST(SpoolCorruption, ASegmentWithoutAHeaderIsSetAsideWhole) {
  SmallSpool spool;
  spool.close();
  spool.flip(1, 3);
  EXPECT_EQ(spool.open().reason(), "spool_corrupt");
  spool.options_.accept_quarantine = true;
  ASSERT_TRUE(spool.open().ok());
  EXPECT_EQ(spool.seen_.size(), 11u);
  EXPECT_FALSE(spool.disk_.exists("spool/" + segment_name(1)));
}

// A device that knows the format plants a record header in its payload, and the write of that
// payload is interrupted. Only one who knows the salt can make that look like damage.
TEST(SpoolCorruption, AForgedRecordInAPayloadIsNoEvidence) {
  for (const bool knows_salt : {false, true}) {
    SmallSpool spool;
    Item first = make_item(18, 1, 1, 100);
    ASSERT_TRUE(commit(*spool.spool_, {&first, 1}).ok());
    const std::uint64_t segment = first.location.segment;
    const std::string path = "spool/" + segment_name(segment);
    Block block;
    ASSERT_TRUE((*spool.disk_.open(path, OpenMode::kRead))->read_at(0, block).ok());

    Item forger = make_item(19, 1, 1, 1024);
    RecordHeader header = forger.header();
    RecordHeader planted = header;
    planted.segment = segment;
    planted.sequence = 40;
    planted.group_size = 1;
    planted.header_checksum =
        header_checksum(planted, knows_salt ? load<SegmentHeader>(block).salt : 0);
    for (std::size_t at = kRecordHeaderBytes; at < forger.slot.size(); at += sizeof planted)
      store(forger.slot, at, planted);
    header.payload_checksum = checksum(ConstBytes(forger.slot).subspan(kRecordHeaderBytes));
    store(forger.slot, 0, header);
    ASSERT_TRUE(commit(*spool.spool_, {&forger, 1}).ok());
    spool.close();
    spool.flip(segment, forger.location.offset * 8);

    EXPECT_EQ(spool.open().reason(), knows_salt ? "spool_corrupt" : "ok");
    EXPECT_EQ(spool.seen_.size(), 18u);
  }
}

TEST(SpoolCorruption, ANewerFormatIsRefusedByName) {
  SmallSpool spool;
  spool.close();
  const std::string path = "spool/" + segment_name(1);
  auto file = spool.disk_.open(path, OpenMode::kWrite);
  ASSERT_TRUE(file.ok());
  SegmentHeader header;
  header.generation = 1;
  header.version = kSegmentVersion + 1;
  const Block block = header_block(header);
  const ConstBytes piece(block);
  ASSERT_TRUE((*file)->write_at(0, {&piece, 1}).ok());
  spool.options_.accept_quarantine = true;
  EXPECT_EQ(spool.open().reason(), "spool_too_new");
}

}  // namespace
}  // namespace muster::ingest::test
