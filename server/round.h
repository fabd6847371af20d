// The life of one round as a pure state machine: an event goes in, the next duty comes out. No
// clock, disk or thread; the engine carries the duties out and reports back.
//
//            target, deadline or operator          all admitted chunks are in
//   kOpen ---------------------------------> kDraining ---------> kSealing -> kAggregating
//                                                |                              |
//                                                | below the minimum,           v
//                                                v or aborted                        kReleasing ->
//                                                kShredding -> kDone
//                                            kAbandoning -> kDone
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace muster::server {

struct RoundPolicy {
  std::uint32_t target = 0;   ///< complete updates that close the round
  std::uint32_t minimum = 0;  ///< fewer than this and the round is abandoned
  Nanoseconds deadline = 0;   ///< absolute, monotonic; 0: none
};

enum class RoundPhase : std::uint8_t {
  kOpen,
  kDraining,
  kSealing,
  kAggregating,
  kReleasing,
  kShredding,
  kAbandoning,
  kDone,
};
std::string_view phase_name(RoundPhase phase);

enum class RoundEvent : std::uint8_t {
  kUpdateComplete,  ///< one more update is whole and durable
  kTick,            ///< time passed
  kCloseRequested,  ///< by an operator: make do with what is here
  kAbortRequested,  ///< by an operator: give the round up
  kDrained,         ///< ingest has handed up everything it admitted
  kSealed,
  kAggregated,
  kReleased,
  kShredded,
  kAbandoned,        ///< the duty is done and recorded
  kCannotAggregate,  ///< the rule is not defined on what is left of the cohort
};

/// What the engine must do now.
enum class RoundDuty : std::uint8_t {
  kNone,
  kStopAdmission,
  kSeal,
  kAggregate,
  kRelease,
  kShred,
  kAbandon
};

class Round {
 public:
  explicit Round(const RoundPolicy& policy) : policy_(policy) {}
  /// A round found in the control store after a restart: in `phase`, its duty not yet done.
  static Round resumed(const RoundPolicy& policy, RoundPhase phase);

  /// Events that mean nothing in the present phase change nothing.
  RoundDuty on(RoundEvent event, Nanoseconds now);

  RoundPhase phase() const { return phase_; }
  std::uint32_t complete() const { return complete_; }
  bool aborting() const { return aborting_; }
  const RoundPolicy& policy() const { return policy_; }

 private:
  RoundDuty stop_admission();

  RoundPolicy policy_;
  RoundPhase phase_ = RoundPhase::kOpen;
  std::uint32_t complete_ = 0;
  bool aborting_ = false;
};

}  // namespace muster::server
