#include "server/round.h"

#include "base/check.h"

namespace muster::server {

std::string_view phase_name(RoundPhase phase) {
  switch (phase) {
    case RoundPhase::kOpen:
      return "open";
    case RoundPhase::kDraining:
      return "draining";
    case RoundPhase::kSealing:
      return "sealing";
    case RoundPhase::kAggregating:
      return "aggregating";
    case RoundPhase::kReleasing:
      return "releasing";
    case RoundPhase::kShredding:
      return "shredding";
    case RoundPhase::kAbandoning:
      return "abandoning";
    case RoundPhase::kDone:
      return "done";
  }
  return "done";
}

Round Round::resumed(const RoundPolicy& policy, RoundPhase phase) {
  Round round(policy);
  round.phase_ = phase;
  return round;
}

RoundDuty Round::stop_admission() {
  phase_ = RoundPhase::kDraining;
  return RoundDuty::kStopAdmission;
}

RoundDuty Round::on(RoundEvent event, Nanoseconds now) {
  // Updates that were on their way when admission stopped still belong to the round: they have, or
  // will get, a receipt.
  if (event == RoundEvent::kUpdateComplete) {
    MUSTER_CHECK(phase_ == RoundPhase::kOpen || phase_ == RoundPhase::kDraining);
    ++complete_;
  }
  switch (phase_) {
    case RoundPhase::kOpen: {
      const bool late = policy_.deadline != 0 && now >= policy_.deadline;
      aborting_ = event == RoundEvent::kAbortRequested;
      if (aborting_ || event == RoundEvent::kCloseRequested || late || complete_ >= policy_.target)
        return stop_admission();
      return RoundDuty::kNone;
    }
    case RoundPhase::kDraining:
      if (event != RoundEvent::kDrained) return RoundDuty::kNone;
      if (aborting_ || complete_ < policy_.minimum) {
        phase_ = RoundPhase::kAbandoning;
        return RoundDuty::kAbandon;
      }
      phase_ = RoundPhase::kSealing;
      return RoundDuty::kSeal;
    case RoundPhase::kSealing:
      if (event != RoundEvent::kSealed) return RoundDuty::kNone;
      phase_ = RoundPhase::kAggregating;
      return RoundDuty::kAggregate;
    case RoundPhase::kAggregating:
      if (event == RoundEvent::kCannotAggregate) {
        phase_ = RoundPhase::kAbandoning;
        return RoundDuty::kAbandon;
      }
      if (event != RoundEvent::kAggregated) return RoundDuty::kNone;
      phase_ = RoundPhase::kReleasing;
      return RoundDuty::kRelease;
    case RoundPhase::kReleasing:
      if (event != RoundEvent::kReleased) return RoundDuty::kNone;
      phase_ = RoundPhase::kShredding;
      return RoundDuty::kShred;
    case RoundPhase::kShredding:
      if (event == RoundEvent::kShredded) phase_ = RoundPhase::kDone;
      return RoundDuty::kNone;
    case RoundPhase::kAbandoning:
      if (event == RoundEvent::kAbandoned) phase_ = RoundPhase::kDone;
      return RoundDuty::kNone;
    case RoundPhase::kDone:
      return RoundDuty::kNone;
  }
  return RoundDuty::kNone;
}

}  // namespace muster::server
