#include "server/round.h"

#include <gtest/gtest.h>

#include <random>

namespace muster::server {
namespace {

using enum RoundEvent;

TEST(Round, ClosesAtItsTargetAndWalksToTheEnd) {
  Round round({.target = 2, .minimum = 1, .deadline = 0});
  EXPECT_EQ(round.on(kUpdateComplete, 1), RoundDuty::kNone);
  EXPECT_EQ(round.on(kUpdateComplete, 2), RoundDuty::kStopAdmission);
  EXPECT_EQ(round.phase(), RoundPhase::kDraining);
  EXPECT_EQ(round.on(kDrained, 3), RoundDuty::kSeal);
  EXPECT_EQ(round.on(kSealed, 4), RoundDuty::kAggregate);
  EXPECT_EQ(round.on(kAggregated, 5), RoundDuty::kRelease);
  EXPECT_EQ(round.on(kReleased, 6), RoundDuty::kShred);
  EXPECT_EQ(round.on(kShredded, 7), RoundDuty::kNone);
  EXPECT_EQ(round.phase(), RoundPhase::kDone);
}

TEST(Round, TakesUpdatesThatWereOnTheirWayWhenItClosed) {
  Round round({.target = 1, .minimum = 1, .deadline = 0});
  EXPECT_EQ(round.on(kUpdateComplete, 1), RoundDuty::kStopAdmission);
  EXPECT_EQ(round.on(kUpdateComplete, 1), RoundDuty::kNone);
  EXPECT_EQ(round.complete(), 2u);
}

TEST(Round, ClosesAtItsDeadlineWithTheMinimum) {
  Round round({.target = 10, .minimum = 2, .deadline = 100});
  round.on(kUpdateComplete, 1);
  round.on(kUpdateComplete, 2);
  EXPECT_EQ(round.on(kTick, 99), RoundDuty::kNone);
  EXPECT_EQ(round.on(kTick, 100), RoundDuty::kStopAdmission);
  EXPECT_EQ(round.on(kDrained, 101), RoundDuty::kSeal);
}

TEST(Round, IsAbandonedBelowTheMinimum) {
  Round round({.target = 10, .minimum = 2, .deadline = 100});
  round.on(kUpdateComplete, 1);
  EXPECT_EQ(round.on(kTick, 100), RoundDuty::kStopAdmission);
  EXPECT_EQ(round.on(kDrained, 101), RoundDuty::kAbandon);
  EXPECT_EQ(round.on(kAbandoned, 102), RoundDuty::kNone);
  EXPECT_EQ(round.phase(), RoundPhase::kDone);
}

TEST(Round, ALateUpdateMaySaveARoundThatIsDraining) {
  Round round({.target = 10, .minimum = 2, .deadline = 100});
  round.on(kUpdateComplete, 1);
  EXPECT_EQ(round.on(kTick, 100), RoundDuty::kStopAdmission);
  round.on(kUpdateComplete, 101);
  EXPECT_EQ(round.on(kDrained, 102), RoundDuty::kSeal);
}

TEST(Round, CanBeClosedAndAbortedByAnOperator) {
  Round closed({.target = 10, .minimum = 1, .deadline = 0});
  closed.on(kUpdateComplete, 1);
  EXPECT_EQ(closed.on(kCloseRequested, 2), RoundDuty::kStopAdmission);
  EXPECT_EQ(closed.on(kDrained, 3), RoundDuty::kSeal);

  Round aborted({.target = 10, .minimum = 1, .deadline = 0});
  aborted.on(kUpdateComplete, 1);
  EXPECT_EQ(aborted.on(kAbortRequested, 2), RoundDuty::kStopAdmission);
  EXPECT_TRUE(aborted.aborting());
  EXPECT_EQ(aborted.on(kDrained, 3), RoundDuty::kAbandon);
}

TEST(Round, FailsAloneWhenTheRuleIsNotDefinedOnItsCohort) {
  Round round =
      Round::resumed({.target = 1, .minimum = 1, .deadline = 0}, RoundPhase::kAggregating);
  EXPECT_EQ(round.on(kCannotAggregate, 1), RoundDuty::kAbandon);
  EXPECT_EQ(round.phase(), RoundPhase::kAbandoning);
}

TEST(Round, NeverDoesADutyTwiceOverRandomEvents) {
  const std::uint64_t seed = 20'261'123;
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int run = 0; run < 2'000; ++run) {
    Round round({.target = 3, .minimum = 2, .deadline = 50});
    int seen[7] = {};
    for (Nanoseconds now = 0; now < 200; ++now) {
      auto event = static_cast<RoundEvent>(random() % 11);
      if (event == kUpdateComplete && round.phase() > RoundPhase::kDraining) event = kTick;
      const RoundDuty duty = round.on(event, now);
      if (duty != RoundDuty::kNone) {
        EXPECT_EQ(++seen[static_cast<int>(duty)], 1) << "seed " << seed << " run " << run;
      }
    }
    EXPECT_FALSE(seen[static_cast<int>(RoundDuty::kRelease)] && round.complete() < 2);
  }
}

}  // namespace
}  // namespace muster::server
