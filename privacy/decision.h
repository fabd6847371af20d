// The decision table (algorithms 7.11): which combinations of rule, mechanism, sampling and codec
// carry a privacy statement, with what sensitivity, and what to do instead where none is honest.
// Asked when a task is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "privacy/adjacency.h"

namespace muster::privacy {

enum class Placement : std::uint8_t {
  kCentral,  ///< noise on the rule's output (or on the integer sum or votes it is made of)
  kBuckets,  ///< noise on every bucket's sum, the rule on the noised means (lemma L8)
  kShards,   ///< the rule in disjoint shards, noise on the mean of the clipped results (lemma L9)
  kLocal,    ///< noise added by the devices; the server cannot check it (lemma L10)
};
std::string_view placement_name(Placement mechanism);

/// What the sensitivity of a released average is, as a formula over C (clip norm), n (fixed
/// cohort), f, G shards of n_g, w_max, W (fixed weight), L steps, tau, g0 (the trusted update), D
/// coordinates.
struct Sensitivity {
  std::string_view zero_out;
  std::string_view replace_one;
};

/// One row of the table.
struct Decision {
  std::string_view rule;  ///< as configurations write it
  Placement mechanism;
  bool allowed;
  Sensitivity sensitivity;       ///< where allowed
  std::string_view warning;      ///< where allowed, and something must be said
  const char* reason;            ///< where refused: stable token
  std::string_view sentence;     ///< why
  std::string_view alternative;  ///< the nearest honest combination
};

/// The whole table: every rule of robust_agg/rule.h under every mechanism.
std::span<const Decision> decisions();
/// The row, or null for a rule that nobody has analysed.
const Decision* find_decision(std::string_view rule, Placement mechanism);

/// What of a task matters here. Texts are as in a configuration.
struct PrivateTask {
  std::string rule;
  Placement mechanism = Placement::kCentral;
  Adjacency adjacency = Adjacency::kZeroOut;
  /// "check-in", "poisson", "fixed-size", "tree", "blt", or "shuffled" (a fixed order reported as
  /// if Poisson).
  std::string sampling = "check-in";
  std::string codec = "f32";
  bool fixed_denominator = true;      ///< n or W is a public constant
  bool weighted = false;              ///< updates weigh what devices report, at most w_max
  bool fixed_cohort = true;           ///< f and n are counts, not shares of who came
  bool zero_invalid = true;           ///< invalid updates count as zero (false: left out)
  bool public_start = true;           ///< centred clipping starts at a noised release
  std::uint32_t iterations = 1;       ///< of centred clipping
  bool arc = false;                   ///< the adaptive-clipping pre-step
  bool nnm = false;                   ///< the nearest-neighbour-mixing pre-step
  bool adaptive_clip = false;         ///< C follows the norms seen
  bool adaptive_clip_noised = false;  ///< by a noised count (algorithms 7.4)
  bool buffered = false;              ///< asynchronous rounds (FedBuff)
  bool one_per_buffer = true;         ///< at most one update a device and buffer
  bool releases_metrics = false;      ///< per-device or data-dependent figures leave the task
};

/// The row that carries the task's statement, or a kInvalid Status whose reason is stable and whose
/// message ends with the nearest honest alternative. Conditions are checked from the most
/// particular to the table.
Result<Decision> decide(const PrivateTask& task);

/// A condition that refuses whatever the row says; for documentation and tests.
struct Condition {
  const char* reason;
  std::string_view sentence;
  std::string_view alternative;
};
std::span<const Condition> conditions();

}  // namespace muster::privacy
