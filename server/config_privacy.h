// The [privacy] table of a task: what makes it private, checked before anything runs. The keys are
// explained in docs/privacy.md and examples/muster.toml.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "privacy/accountant.h"
#include "privacy/decision.h"
#include "privacy/ledger_file.h"

namespace muster::server {

class Section;
class Writer;
struct TaskConfig;

/// Cohorts of a private task are at least this large unless the task says otherwise,
inline constexpr std::uint32_t kUsualPrivateCohort = 100;
/// and never below this, unless it says so in so many words.
inline constexpr std::uint32_t kLeastPrivateCohort = 10;

struct PrivacyConfig {
  std::string mechanism = "central";   ///< privacy::placement_name()
  std::string adjacency = "zero-out";  ///< privacy::adjacency_name()
  double clip_norm = 0;                ///< C, of an update; 0 for sign_majority
  double noise_multiplier = 0;         ///< z; solved for where a target is given
  std::uint64_t planned_rounds = 0;    ///< of the target; 0: no target was given
  std::string population;              ///< tasks that learn from the same devices share a budget
  double budget_epsilon = 0, delta = 0;
  std::string sampling = "check-in";    ///< the statement of algorithms 7.5
  std::uint32_t participations = 1;     ///< k: rounds a device may be in
  std::uint32_t separation = 1;         ///< b: and how far apart
  std::uint32_t max_devices = 100'000;  ///< bounds the table of participations
  std::string adaptive_clip = "none";   ///< or "noised"
  double clip_quantile = 0.5, clip_rate = 0.2;
  double clip_count_noise = 0;  ///< standard deviation; 0: n / 20
  std::uint32_t buckets = 0, shards = 0;
  bool allow_small_cohort = false;

  privacy::Placement placement() const;
  privacy::Adjacency relation() const;
  privacy::Budget budget() const;
  /// With the limits above.
  privacy::Sampling statement() const;
  /// Whether the server adds the noise, so that there is something to charge and to record.
  bool central() const { return placement() != privacy::Placement::kLocal; }
};

/// Reads [privacy] of a task, if it has one, and settles what it implies for other keys. After the
/// rule and cohort keys were read, before check_rule().
void read_privacy(Section& section, TaskConfig& task);
/// As a [privacy] table, with every key; nothing for a task that is not private.
std::string privacy_text(const TaskConfig& task);
/// What devices agree to: of privacy_text() all that bears on their protection.
void write_privacy_terms(Writer& writer, const TaskConfig& task);

}  // namespace muster::server
