// Records encrypted at rest: nothing readable on the disk, nothing opens without the round's key,
// and nothing opens as what it is not.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/simulated_storage.h"
#include "ingest/seal.h"
#include "ingest/segment.h"
#include "tests/spool/items.h"

namespace muster::ingest::test {
namespace {

constexpr std::string_view kMarker = "muster-plaintext-marker-7f3a";

Item marked_item(std::uint64_t nonce, RoundNumber round, std::uint32_t payload_bytes = 4000) {
  Item item = make_item(nonce, 1, round, payload_bytes);
  RecordHeader header = item.header();
  const MutableBytes payload = MutableBytes(item.slot).subspan(kRecordHeaderBytes, payload_bytes);
  for (std::size_t at = 0; at + kMarker.size() <= payload.size(); at += 512)
    std::ranges::copy(as_bytes(kMarker), payload.subspan(at).begin());
  header.payload_checksum = checksum(payload);
  store(item.slot, 0, header);
  return seal(std::move(item));
}

class SealedSpool : public testing::Test {
 protected:
  SealedSpool() {
    options_.directory = "spool";
    options_.segment_bytes = 16 * kBlockBytes;
    options_.keys = &keys_;
    put_key(keys_, 1, 1);
    put_key(keys_, 1, 2);
  }

  Status open() {
    spool_.reset();
    seen_.clear();
    auto opened = Spool::open(
        disk_, options_, stats_,
        [&](const RecordHeader& header, RecordLocation) { seen_[header.nonce] = header; }, nullptr);
    if (!opened.ok()) return opened.status();
    spool_ = std::move(opened).value();
    return {};
  }
  Item committed(Item item) {
    EXPECT_TRUE(commit(*spool_, {&item, 1}).ok());
    return item;
  }
  Status read(const Item& item, std::vector<std::byte>* bytes = nullptr) {
    std::vector<std::byte> own(item.slot.size());
    const Status status = spool_->read(item.location, own);
    if (bytes != nullptr) *bytes = std::move(own);
    return status;
  }
  std::vector<std::byte> file(const std::string& name) {
    return read_file(disk_, "spool/" + name, std::size_t{64} << 20).value();
  }
  bool disk_shows(ConstBytes what) {
    const auto names = disk_.list("spool").value();
    for (const std::string& name : names) {
      const auto bytes = file(name);
      if (!std::ranges::search(bytes, what).empty()) return true;
    }
    return false;
  }

  SimulatedStorage disk_{5};
  RoundKeys keys_;
  SpoolOptions options_;
  Stats stats_;
  std::unique_ptr<Spool> spool_;
  std::map<std::uint64_t, RecordHeader> seen_;
};

TEST_F(SealedSpool, NoByteOfAPayloadIsOnTheDiskBeforeOrAfterItsRoundIsShredded) {
  ASSERT_TRUE(open().ok());
  const Item item = committed(marked_item(1, 1));
  EXPECT_FALSE(disk_shows(as_bytes(kMarker)));
  // Nor a checksum by which a guess of the payload could be confirmed.
  const Hash128 plain = item.header().payload_checksum;
  EXPECT_FALSE(disk_shows(object_bytes(plain)));
  keys_.forget(1, 1);
  ASSERT_TRUE(spool_->release_round(1, 1).ok());
  EXPECT_FALSE(disk_shows(as_bytes(kMarker)));
  ASSERT_TRUE(open().ok());
  EXPECT_FALSE(disk_shows(as_bytes(kMarker)));

  // The search would find it.
  Item open_item = marked_item(2, 1);
  RecordHeader header = open_item.header();
  header.version = kPlainRecord;
  store(open_item.slot, 0, header);
  committed(open_item);
  EXPECT_TRUE(disk_shows(as_bytes(kMarker)));
  EXPECT_TRUE(disk_shows(object_bytes(header.payload_checksum)));
}

TEST_F(SealedSpool, RecordsReadAsTheyWereInTheirSlots) {
  ASSERT_TRUE(open().ok());
  std::vector<Item> items;
  for (const std::uint32_t bytes : {0u, 1u, 31u, 32u, 33u, 64u, 4000u, 4064u, 20'000u})
    items.push_back(committed(seal(make_item(10 + bytes, 1, 1, bytes))));
  const auto check = [&] {
    for (const Item& item : items) {
      std::vector<std::byte> bytes;
      const Status status = read(item, &bytes);
      EXPECT_TRUE(status.ok()) << status.to_string();
      EXPECT_EQ(bytes, item.slot) << item.header().payload_bytes;
    }
  };
  check();
  ASSERT_TRUE(open().ok());
  ASSERT_EQ(seen_.size(), items.size());
  check();
  // What a resent chunk is compared with: the checksum of the plain payload.
  for (const Item& item : items)
    EXPECT_EQ(seen_[item.header().nonce].payload_checksum, item.header().payload_checksum);
}

TEST_F(SealedSpool, AGroupLongerThanTheStageAndOfBothKindsIsRead) {
  options_.segment_bytes = std::uint64_t{32} << 20;
  ASSERT_TRUE(open().ok());
  std::vector<Item> items;
  for (std::uint64_t i = 0; i < 22; ++i) {
    Item item = make_item(i + 1, 1, 1, (1u << 20) - static_cast<std::uint32_t>(777 * i));
    items.push_back(i % 5 == 2 ? item : seal(item));
  }
  ASSERT_TRUE(commit(*spool_, items).ok());
  EXPECT_EQ(items.back().header().group_size, 22);
  ASSERT_TRUE(open().ok());
  for (const Item& item : items) {
    std::vector<std::byte> bytes;
    ASSERT_TRUE(read(item, &bytes).ok());
    EXPECT_EQ(bytes, item.slot);
  }
}

TEST_F(SealedSpool, WithoutItsKeyARecordIsSoundAndShut) {
  ASSERT_TRUE(open().ok());
  const Item shredded = committed(marked_item(1, 1));
  const Item kept = committed(marked_item(2, 2));
  keys_.forget(1, 1);
  EXPECT_EQ(read(shredded).reason(), "round_key_missing");
  EXPECT_TRUE(read(kept).ok());
  // Recovery needs no key to tell soundness from damage.
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(seen_.size(), 2u);
  EXPECT_NE(seen_[1].payload_checksum, shredded.header().payload_checksum);
  EXPECT_EQ(read(shredded).reason(), "round_key_missing");
  EXPECT_TRUE(read(kept).ok());
  put_key(keys_, 1, 1, 99);
  EXPECT_EQ(read(shredded).reason(), "record_corrupt");
}

TEST_F(SealedSpool, ARecordIsNeverWrittenPlainForWantOfAKey) {
  ASSERT_TRUE(open().ok());
  Item item = marked_item(1, 3);
  EXPECT_EQ(commit(*spool_, {&item, 1}).reason(), "spool_fault");
  EXPECT_FALSE(disk_shows(as_bytes(kMarker)));
  Item other = marked_item(2, 1);
  EXPECT_EQ(commit(*spool_, {&other, 1}).reason(), "spool_fault");
  ASSERT_TRUE(open().ok());
  EXPECT_TRUE(seen_.empty());
}

TEST_F(SealedSpool, EqualPayloadsDoNotLookEqual) {
  ASSERT_TRUE(open().ok());
  std::vector<Item> items = {marked_item(1, 1), marked_item(1, 1)};
  ASSERT_TRUE(commit(*spool_, items).ok());
  const auto bytes = file(segment_name(1));
  const auto encrypted = [&](const Item& item) {
    return ConstBytes(bytes).subspan(item.location.offset + kRecordHeaderBytes, 4000);
  };
  EXPECT_FALSE(std::ranges::equal(encrypted(items[0]), encrypted(items[1])));
}

// Whoever can write to the disk can compute every checksum; only the key makes a record authentic.
TEST_F(SealedSpool, NothingOpensAsWhatItIsNot) {
  ASSERT_TRUE(open().ok());
  const Item victim = committed(marked_item(1, 1));
  const auto bytes = file(segment_name(1));
  const std::uint64_t salt = load<SegmentHeader>(bytes).salt;
  const std::size_t at = victim.location.offset;
  const auto original = load<RecordHeader>(bytes, at);
  const auto forge = [&](const RecordHeader& changed, std::size_t flipped) {
    RecordHeader header = changed;
    header.header_checksum = header_checksum(header, salt);
    std::vector<std::byte> record(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                  bytes.begin() + static_cast<std::ptrdiff_t>(at) +
                                      static_cast<std::ptrdiff_t>(disk_bytes(header)));
    store(record, 0, header);
    if (flipped > 0) record[flipped] ^= std::byte{1};
    const std::size_t end = kRecordHeaderBytes + header.payload_bytes;
    auto trailer = load<SealTrailer>(record, end);
    trailer.checksum = seal_checksum(
        header, ConstBytes(record).subspan(kRecordHeaderBytes, header.payload_bytes), trailer.tag);
    store(record, end, trailer);
    const ConstBytes piece(record);
    EXPECT_TRUE(disk_.open("spool/" + segment_name(1), OpenMode::kWrite)
                    .value()
                    ->write_at(at, {&piece, 1})
                    .ok());
    return read(victim);
  };
  EXPECT_TRUE(forge(original, 0).ok());
  EXPECT_EQ(forge(original, kRecordHeaderBytes + 17).reason(), "record_corrupt");
  RecordHeader other = original;
  other.weight += 1;
  EXPECT_EQ(forge(other, 0).reason(), "record_corrupt");
  other = original;
  other.device.low ^= 1;
  EXPECT_EQ(forge(other, 0).reason(), "record_corrupt");
  other = original;
  other.round = 2;  // whose key is there
  EXPECT_EQ(forge(other, 0).reason(), "record_corrupt");
  other = original;
  other.payload_checksum.low ^= 1;
  EXPECT_EQ(forge(other, 0).reason(), "record_corrupt");
}

}  // namespace
}  // namespace muster::ingest::test
