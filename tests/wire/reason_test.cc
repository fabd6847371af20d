#include "wire/reason.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

namespace muster::wire {
namespace {

/// The compiler complains here when an enumerator is added and not listed.
bool is_enumerator(Reason reason) {
  switch (reason) {
    case Reason::kOk:
    case Reason::kProtocolVersion:
    case Reason::kFrameMissing:
    case Reason::kFrameExtra:
    case Reason::kHeaderTooLarge:
    case Reason::kPayloadTooLarge:
    case Reason::kHeaderMalformed:
    case Reason::kPayloadLength:
    case Reason::kChecksumMismatch:
    case Reason::kUnexpectedKind:
    case Reason::kFieldMissing:
    case Reason::kUnknownTask:
    case Reason::kRoundClosed:
    case Reason::kRoundUnknown:
    case Reason::kModelVersionStale:
    case Reason::kWrongCodec:
    case Reason::kWrongDimension:
    case Reason::kChunkOutOfRange:
    case Reason::kChunkCount:
    case Reason::kChunkLength:
    case Reason::kScaleInvalid:
    case Reason::kValueNotFinite:
    case Reason::kCoordinateOutOfBound:
    case Reason::kReservedCode:
    case Reason::kWeightOutOfRange:
    case Reason::kTermsMismatch:
    case Reason::kModelUnknown:
    case Reason::kNonceZero:
    case Reason::kIndexInvalid:
    case Reason::kZstdInvalid:
    case Reason::kNotEnrolled:
    case Reason::kRevoked:
    case Reason::kNotGateway:
    case Reason::kDuplicate:
    case Reason::kEquivocation:
    case Reason::kSecondUpdate:
    case Reason::kParticipationsSpent:
    case Reason::kParticipationTooSoon:
    case Reason::kSlabFull:
    case Reason::kDiskLow:
    case Reason::kCohortFull:
    case Reason::kNoOpenRound:
    case Reason::kDraining:
    case Reason::kStorageFault:
      return true;
  }
  return false;
}

TEST(Reasons, HaveARowForEveryNumberAndNoOther) {
  std::size_t enumerators = 0;
  for (std::uint32_t number = 0; number < 0xffff; ++number) {
    const auto reason = static_cast<Reason>(number);
    if (is_enumerator(reason)) {
      ++enumerators;
      EXPECT_EQ(describe(reason).reason, reason) << number;
    } else {
      EXPECT_STREQ(describe(reason).token, "unknown_reason") << number;
    }
  }
  EXPECT_EQ(enumerators, reasons().size());
}

TEST(Reasons, AreAscending) {
  EXPECT_EQ(
      std::ranges::adjacent_find(reasons(), std::ranges::greater_equal{}, &ReasonText::reason),
      reasons().end());
}

TEST(Reasons, HaveUniqueSnakeCaseTokensAndPlainWords) {
  std::set<std::string> tokens;
  for (const ReasonText& row : reasons()) {
    const std::string token = row.token;
    EXPECT_TRUE(tokens.insert(token).second) << token;
    EXPECT_TRUE(std::ranges::all_of(token, [](char c) { return std::islower(c) || c == '_'; }))
        << token;
    EXPECT_FALSE(std::string(row.sentence).empty()) << token;
    EXPECT_FALSE(std::string(row.remedy).empty()) << token;
    EXPECT_NE(std::string(row.sentence).back(), '.') << token;
  }
}

TEST(Reasons, OfNotNowMaySucceedLaterAndThoseOfContentAndSenderMayNot) {
  for (const ReasonText& row : reasons()) {
    const int group = static_cast<int>(row.reason) / 100;
    if (group == 2 || group == 3 || group == 5) {
      EXPECT_EQ(row.retry, group == 5) << row.token;
    }
  }
}

TEST(Reasons, BecomeAStatusWithTokenSentenceAndRemedy) {
  EXPECT_TRUE(to_status(Reason::kOk).ok());
  const Status status = to_status(Reason::kRevoked);
  EXPECT_EQ(status.code(), Code::kForbidden);
  EXPECT_EQ(status.reason(), "revoked");
  EXPECT_EQ(status.message(),
            "the device's key was revoked; ask the operator why; a new key can be enrolled");
  EXPECT_EQ(to_status(static_cast<Reason>(999)).reason(), "unknown_reason");
  for (const ReasonText& row : reasons())
    EXPECT_EQ(to_status(row.reason).ok(), row.reason == Reason::kOk) << row.token;
}

}  // namespace
}  // namespace muster::wire
