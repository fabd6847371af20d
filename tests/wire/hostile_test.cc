#include <gtest/gtest.h>

#include "tests/wire/consistent.h"
#include "tests/wire/frame.h"
#include "tests/wire/samples.h"

namespace muster::wire {
namespace {

enum Kind : std::uint8_t {
  kCheckIn = 3,
  kRetryAfter = 5,
  kModelChunk = 7,
  kSubmit = 8,
  kReceipt = 9,
  kQuery = 10,
  kUnknownKind = 13
};

constexpr std::size_t kLarge = std::size_t{16} << 20;  // for frames above the usual limit

Reason verdict(const Frame& frame, std::size_t max_bytes = limits::kHeaderBytes) {
  const Parsed parsed = parse_header(frame.bytes(), max_bytes);
  EXPECT_TRUE(consistent(parsed, frame.bytes().size()));
  return parsed.reason;
}

// A CheckIn: vtable, table, text.
constexpr std::size_t kVtable = 40;
constexpr std::size_t kTable = 48;
constexpr std::size_t kTaskField = 52;
constexpr std::size_t kDeviceField = 56;
constexpr std::size_t kText = 64;

Frame check_in() {
  Frame frame(kCheckIn, kTable);
  frame.vtable(kVtable, 16, {4, 8});
  frame.table(kTable, kVtable);
  frame.refer(kTaskField, kText);
  frame.u64(kDeviceField, 42);
  frame.string(kText, "news");
  frame.reserve(80);
  return frame;
}

/// A kind whose only field is a vector, of `count` elements, as its third field; elements from 64.
Frame with_vector(Kind kind, std::size_t count, std::size_t element_bytes, std::size_t at = 60) {
  Frame frame(kind, 52);
  frame.vtable(kVtable, 8, {0, 0, 4});
  frame.table(52, kVtable);
  frame.refer(56, at);
  frame.u32(at, count);
  frame.reserve(at + 4 + count * element_bytes + 8);
  return frame;
}

TEST(Hostile, TheHandMadeFrameItselfIsSound) {
  const Parsed parsed = parse_header(check_in().bytes());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.message.body, Body(CheckIn{"news", 42}));
}

TEST(Hostile, EveryTruncationIsRefusedOrConsistent) {
  for (const Sample& sample : samples()) {
    const auto header = build_header(sample.message);
    for (std::size_t length = 0; length < header.size(); ++length) {
      // A copy of its own, so that AddressSanitizer sees a read past the end.
      const std::vector<std::byte> part(header.begin(),
                                        header.begin() + static_cast<std::ptrdiff_t>(length));
      ASSERT_TRUE(consistent(parse_header(part), part.size())) << sample.name << " at " << length;
    }
  }
}

TEST(Hostile, EverySingleBitFlipIsRefusedOrConsistent) {
  std::size_t refused = 0;
  std::size_t accepted = 0;
  for (const Sample& sample : samples()) {
    auto header = build_header(sample.message);
    for (std::size_t bit = 0; bit < 8 * header.size(); ++bit) {
      header[bit / 8] ^= std::byte{1} << (bit % 8);
      const Parsed parsed = parse_frames(sample.frames(header));
      ASSERT_TRUE(consistent(parsed, header.size())) << sample.name << " bit " << bit;
      ++(parsed.ok() ? accepted : refused);
      header[bit / 8] ^= std::byte{1} << (bit % 8);
    }
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(accepted, 1000u);  // most flips only change a value: the checks behind see to those
}

TEST(Hostile, SizeIsTheFirstCheck) {
  const std::vector<std::byte> nothing(limits::kHeaderBytes + 1);
  EXPECT_EQ(parse_header(nothing).reason, Reason::kHeaderTooLarge);
  EXPECT_EQ(parse_header(ConstBytes(nothing).first(limits::kHeaderBytes)).reason,
            Reason::kHeaderMalformed);
  for (std::size_t length = 0; length < 16; ++length)
    EXPECT_EQ(parse_header(ConstBytes(nothing).first(length)).reason, Reason::kHeaderMalformed);
}

TEST(Hostile, WrongIdentifierIsMalformed) {
  Frame frame = check_in();
  frame.text(4, "MST2");
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
}

TEST(Hostile, ProtocolComesBeforeABodyWeCannotRead) {
  Frame frame = check_in();
  frame.u16(Frame::kProtocol, 2);
  frame.u8(Frame::kBodyType, kUnknownKind);
  EXPECT_EQ(verdict(frame), Reason::kProtocolVersion);
  frame.u32(Frame::kBodyOffset, 0x7fffffff);
  EXPECT_EQ(verdict(frame), Reason::kProtocolVersion);
  frame.u16(Frame::kProtocol, 1);
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
}

TEST(Hostile, UnknownKindIsMalformedAndNoKindIsAMissingField) {
  Frame frame = check_in();
  for (const int kind : {static_cast<int>(kUnknownKind), 128, 255}) {
    frame.u8(Frame::kBodyType, static_cast<std::uint8_t>(kind));
    EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
  }
  frame.u8(Frame::kBodyType, 0);
  EXPECT_EQ(verdict(frame), Reason::kFieldMissing);

  Frame no_body = check_in();
  no_body.vtable(Frame::kRootVtable, 16, {12, 4, 14, 0});
  EXPECT_EQ(verdict(no_body), Reason::kFieldMissing);
  Frame no_protocol = check_in();
  no_protocol.vtable(Frame::kRootVtable, 16, {0, 4, 14, 8});
  EXPECT_EQ(verdict(no_protocol), Reason::kProtocolVersion);
}

TEST(Hostile, RequiredStructsAreMissed) {
  for (const Kind kind : {kModelChunk, kSubmit}) {
    Frame frame(kind, 44);
    frame.vtable(kVtable, 4, {});
    frame.table(44, kVtable);
    EXPECT_EQ(verdict(frame), Reason::kFieldMissing) << kind;
  }
  Frame query(kQuery, 44);
  query.vtable(kVtable, 4, {});
  query.table(44, kVtable);
  EXPECT_EQ(verdict(query), Reason::kOk) << "every other absent field has its default";
}

TEST(Hostile, TextInsideItsOwnTableIsAliasing) {
  Frame frame = check_in();
  frame.u32(kDeviceField, 3);
  frame.text(kDeviceField + 4, std::string_view("abc\0", 4));
  EXPECT_EQ(verdict(frame), Reason::kOk);
  frame.refer(kTaskField, kDeviceField);
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
}

TEST(Hostile, VtableInsideATextIsAliasing) {
  // As text: 08 00 10 00 ...; the length makes it the table's vtable as well.
  Frame frame = check_in();
  frame.reserve(128);
  frame.vtable(96, 16, {4, 8});
  frame.table(kTable, 96);
  EXPECT_EQ(verdict(frame), Reason::kOk) << "a vtable may lie anywhere";
  frame.string(kText, std::string(64 - 5, 'a'));
  frame.vtable(96, 16, {4, 8});
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
}

TEST(Hostile, BodyInsideTheRootIsAliasing) {
  // The request number doubles as the first word of a QueryMissing without fields.
  Frame frame(kQuery, Frame::kRequest);
  frame.vtable(Frame::kRootVtable, 16, {12, 8, 14, 4});
  frame.refer(Frame::kRoot + 4, Frame::kRoot + 8);
  frame.vtable(kVtable, 4, {});
  frame.u32(Frame::kRoot + 8, static_cast<std::uint32_t>(Frame::kRoot + 8 - kVtable));
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);

  Frame apart(kQuery, 48);
  apart.vtable(kVtable, 4, {});
  apart.table(48, kVtable);
  EXPECT_EQ(verdict(apart), Reason::kOk);
}

TEST(Hostile, BodyThatIsTheRootIsRefused) {
  Frame frame(kQuery, Frame::kRoot);
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
}

TEST(Hostile, AVtableMayBeShared) {
  // The root's vtable read as RetryAfter's: retry_ms at 12, reason at 4.
  Frame frame(kRetryAfter, 40);
  frame.table(40, Frame::kRootVtable);
  frame.u16(44, 503);
  frame.u32(52, 250);
  const Parsed parsed = parse_header(frame.bytes());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.message.body, Body(RetryAfter{250, Reason::kNoOpenRound}));
}

TEST(Hostile, FieldsThatLeaveTheirTableAreMalformed) {
  Frame frame = check_in();
  frame.vtable(kVtable, 15, {4, 8});
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
  frame.vtable(kVtable, 0x8000, {4, 8});
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);
  frame.vtable(kVtable, 3, {4, 8});
  EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed);

  Frame inside_first_word(kRetryAfter, 48);
  inside_first_word.vtable(kVtable, 8, {4, 2});
  inside_first_word.table(48, kVtable);
  inside_first_word.u32(52, 250);
  EXPECT_EQ(verdict(inside_first_word), Reason::kHeaderMalformed);
  inside_first_word.vtable(kVtable, 8, {4, 0});
  EXPECT_EQ(verdict(inside_first_word), Reason::kOk);
}

TEST(Hostile, AVtableTooShortForItsOwnHeadIsMalformed) {
  for (const std::size_t bytes : {0ul, 2ul}) {
    Frame frame = check_in();
    frame.u16(kVtable, bytes);
    EXPECT_EQ(verdict(frame), Reason::kHeaderMalformed) << bytes;
  }
}

TEST(Hostile, CountsBeyondTheFrameAreMalformed) {
  for (const std::size_t count : {6ul, 0x7ffffffful, 0x80000000ul, 0xfffffffful}) {
    Frame receipt = with_vector(kReceipt, 1, 32);
    receipt.u32(60, count);
    EXPECT_EQ(verdict(receipt), Reason::kHeaderMalformed) << count;
    Frame text = check_in();
    text.u32(kText, count + 100);
    EXPECT_EQ(verdict(text), Reason::kHeaderMalformed) << count;
  }
}

TEST(Hostile, ReceiptEntriesMustBeAligned) {
  EXPECT_EQ(verdict(with_vector(kReceipt, 2, 32)), Reason::kOk);
  EXPECT_EQ(verdict(with_vector(kReceipt, 2, 32, 64)), Reason::kHeaderMalformed);
}

TEST(Hostile, LongVectorsAreBoundedEvenInALongFrame) {
  EXPECT_EQ(verdict(with_vector(kReceipt, limits::kReceiptsPerMessage, 32)), Reason::kOk);
  EXPECT_EQ(verdict(with_vector(kReceipt, limits::kReceiptsPerMessage + 1, 32)),
            Reason::kHeaderMalformed);
  EXPECT_EQ(verdict(with_vector(kReceipt, 200'000, 32), kLarge), Reason::kHeaderMalformed);
  EXPECT_EQ(verdict(with_vector(kReceipt, 200'000, 32)), Reason::kHeaderTooLarge);
}

/// A QueryMissing of a later version: a fifth field, a vector of `references` to one table.
Frame reference_bomb(std::size_t references) {
  Frame frame(kQuery, 56);
  frame.vtable(kVtable, 8, {0, 0, 0, 0, 4});
  frame.table(56, kVtable);
  frame.refer(60, 64);
  frame.u32(64, references);
  const std::size_t shared = 68 + 4 * references;
  frame.reserve(shared + 8);
  for (std::size_t i = 0; i < references; ++i) frame.refer(68 + 4 * i, shared);
  frame.table(shared, kVtable);
  return frame;
}

TEST(Hostile, AReferenceBombIsTooLargeOrNeverFollowed) {
  EXPECT_EQ(verdict(reference_bomb(200'000)), Reason::kHeaderTooLarge);
  // Fields we do not know are not read: nothing is multiplied, whatever they refer to.
  EXPECT_EQ(verdict(reference_bomb(4'000)), Reason::kOk);
  const Frame bomb = reference_bomb(200'000);
  EXPECT_EQ(parse_header(bomb.bytes(), kLarge).message.body, Body(QueryMissing{}));
}

TEST(Hostile, DepthIsNeverFollowed) {
  // Tables nested a thousand deep behind a field we do not know.
  Frame frame(kQuery, 56);
  frame.vtable(kVtable, 8, {0, 0, 0, 0, 4});
  std::size_t at = 56;
  for (int depth = 0; depth < 1000; ++depth, at += 8) {
    frame.table(at, kVtable);
    frame.refer(at + 4, at + 8);
  }
  frame.table(at, kVtable);
  frame.refer(at + 4, 56 + 8);  // and back to the first
  EXPECT_EQ(verdict(frame), Reason::kOk);
}

}  // namespace
}  // namespace muster::wire
