// The bytes of docs/spool.md's worked example: a change here is a change of format.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/hex.h"
#include "base/simulated_storage.h"
#include "ingest/keys.h"
#include "ingest/seal.h"
#include "ingest/segment.h"

namespace muster::ingest {
namespace {

constexpr std::uint64_t kSalt = 0xc65ece445e586c78;
constexpr Hash128 kSegmentChecksum{0x748f977e3382140e, 0xed767957ac913cc6};
constexpr Hash128 kPayloadChecksum{0xa051bf616039ec31, 0x28fbe10543bcf150};
constexpr Hash128 kRecordChecksum{0x90ed81dd3d818db3, 0x28b12c07d181b901};
constexpr Hash128 kChain{0x83bbe41376e372e0, 0x9f3871d4f2af4ad8};
constexpr Hash128 kFooterChecksum{0x7cf28fa725cd297e, 0x1f629f08d67e2e4b};

SegmentHeader example_header() {
  SegmentHeader header;
  header.generation = 1;
  header.segment_bytes = 32768;
  header.salt = kSalt;
  return header;
}

RecordHeader example_record() {
  RecordHeader record;
  record.codec = 3;
  record.log2_block = 6;
  record.payload_bytes = 10;
  record.task = 1;
  record.round = 3;
  record.nonce = 7;
  record.update = {0x1111111111111111, 0x2222222222222222};
  record.device = {0xaaaaaaaaaaaaaaaa, 0xbbbbbbbbbbbbbbbb};
  record.chunk_count = 1;
  record.coordinates = 10;
  record.weight = 20;
  record.segment = 1;
  record.group_size = 1;
  record.payload_checksum = kPayloadChecksum;
  record.header_checksum = kRecordChecksum;
  return record;
}

TEST(SpoolFormat, ChecksumsAreThoseOfTheDocument) {
  EXPECT_EQ(load<SegmentHeader>(header_block(example_header())).checksum, kSegmentChecksum);
  EXPECT_EQ(checksum(as_bytes("hello word")), kPayloadChecksum);
  EXPECT_EQ(header_checksum(example_record(), kSalt), kRecordChecksum);
  EXPECT_EQ(chain({}, example_record(), kSalt), kChain);
  const auto footer = load<SegmentFooter>(footer_block(example_header(), {8192, 1, kChain}));
  EXPECT_EQ(footer.checksum, kFooterChecksum);
}

// The same record sealed under the key 00 01 ... 1f.
TEST(SpoolFormat, TheSealedExampleIsThatOfTheDocument) {
  std::array<std::byte, kRoundKeyBytes> key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(i);
  RecordHeader record = example_record();
  record.version = kSealedRecord;
  std::vector<std::byte> disk(disk_bytes(record));
  seal_record(key, kSalt, record, as_bytes("hello word"), disk);
  EXPECT_EQ(hex(ConstBytes(disk).subspan(96, 32)),
            "8948d7b79a176e051c0a0eccc0faacb349bcb8d1b3553e42cd606d0791d21994");
  EXPECT_EQ(hex(ConstBytes(disk).subspan(128)),
            "89cf72a479532b71a7eab48d27f3f0422b8b56907c20011fd7a2cf44f5eb6e78"
            "91efb5a00a80162652d800000000000000000000000000000000000000000000");
}

/// Version 1 had no sealed records; its segments are read as they are.
TEST(SpoolFormat, SegmentsOfVersionOneAreRead) {
  SimulatedStorage disk(1);
  const auto file = disk.open("segment-0000000001", OpenMode::kCreate).value();
  SegmentHeader old = example_header();
  old.version = 1;
  const Block header = header_block(old);
  const RecordHeader record = example_record();
  const Block footer = footer_block(old, {8192, 1, kChain});
  EXPECT_EQ(load<SegmentFooter>(footer).version, 1u);
  const std::array<ConstBytes, 5> pieces = {
      ConstBytes(header), object_bytes(record), as_bytes("hello word"),
      ConstBytes(kZeroBlock).first(kBlockBytes - kRecordHeaderBytes - 10), ConstBytes(footer)};
  ASSERT_TRUE(file->write_at(0, pieces).ok());
  const auto scan = scan_segment(*file, 1, [](const auto&, auto, auto) {});
  ASSERT_TRUE(scan.ok());
  EXPECT_TRUE(scan->closed);
  EXPECT_EQ(scan->end.records, 1u);
}

TEST(SpoolFormat, TheExampleIsAClosedSegment) {
  SimulatedStorage disk(1);
  const auto file = disk.open("segment-0000000001", OpenMode::kCreate).value();
  const Block header = header_block(example_header());
  const RecordHeader record = example_record();
  const Block footer = footer_block(example_header(), {8192, 1, kChain});
  const std::array<ConstBytes, 5> pieces = {
      ConstBytes(header), object_bytes(record), as_bytes("hello word"),
      ConstBytes(kZeroBlock).first(kBlockBytes - kRecordHeaderBytes - 10), ConstBytes(footer)};
  ASSERT_TRUE(file->write_at(0, pieces).ok());
  int visits = 0;
  const auto scan =
      scan_segment(*file, 1, [&](const RecordHeader& seen, RecordLocation at, std::uint64_t) {
        EXPECT_EQ(seen.nonce, 7u);
        EXPECT_EQ(at.offset, kBlockBytes);
        ++visits;
      });
  ASSERT_TRUE(scan.ok());
  EXPECT_EQ(visits, 1);
  EXPECT_TRUE(scan.value().closed);
  EXPECT_EQ(scan.value().end.chain, kChain);
}

TEST(SpoolFormat, SegmentNamesSortByGenerationAndNothingElseIsOne) {
  EXPECT_EQ(segment_name(12), "segment-0000000012");
  EXPECT_EQ(parse_segment_name("segment-0000000012"), 12u);
  EXPECT_EQ(parse_segment_name("segment-123456789012"), 123456789012u);
  for (const char* name : {"segment-12", "segment-", "segment-00000000012", "segment-000000001x",
                           "spare-0000000001", "segment-0000000012.tmp"})
    EXPECT_EQ(parse_segment_name(name), std::nullopt) << name;
}

}  // namespace
}  // namespace muster::ingest
