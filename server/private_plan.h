// What a private task makes of its rounds, in numbers that are fixed when it is loaded: which
// integers noise goes on, how much, and what a release costs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "privacy/amounts.h"
#include "privacy/clip.h"
#include "privacy/mechanism.h"
#include "robust_agg/plan.h"
#include "server/config.h"
#include "server/config_rule.h"

namespace muster::server {

/// The integers that noise is added to.
enum class NoisedSum : std::uint8_t {
  kMean,           ///< sum of clipped updates
  kTrimmed,        ///< sum of the kept values (lemma L1)
  kCentred,        ///< sum of clipped differences to the last release (L4)
  kVotes,          ///< sums of votes (L7)
  kBuckets,        ///< every bucket's sum; the rule runs on the noised means (L8)
  kShards,         ///< sum of the shards' clipped outputs; the rule runs in each shard (L9)
  kTrimmedShards,  ///< sum of the values that a trimmed mean keeps in each shard (L2)
};

struct PrivatePlan {
  PrivacyConfig config;
  NoisedSum sum = NoisedSum::kMean;
  privacy::MechanismRequest request;  ///< at the configured clip norm
  std::uint32_t max_weight = 1;       ///< kMean
  double weight_total = 0;            ///< kMean: W
  std::uint32_t f = 0;                ///< kTrimmed; kTrimmedShards: in each shard
  double step = 1;                    ///< kVotes: how far one round moves a coordinate
  std::uint32_t parts = 0;            ///< buckets or shards,
  std::uint32_t part_size = 0;        ///< of so many updates at most
  /// The rule on bucket means, or in a shard.
  std::optional<robust::Plan> inner;
  std::optional<privacy::AdaptiveClip> adaptive;
  std::int64_t count_units = 0;  ///< adaptive: of half an update (privacy::count_units_per_half)
  std::uint64_t rounds = 0;      ///< of the task, 0: without end

  /// At a clip norm; the noise multiplier is the same at all of them.
  Result<privacy::Mechanism> mechanism(double clip_norm) const;
  /// The run of which every round is one, with all that a round releases.
  privacy::Schedule schedule(const privacy::Mechanism& mechanism) const;
  /// Noise drawn in a round.
  std::uint64_t draws() const;
  /// What release `index` (from 1) of the task adds to what was spent.
  Result<privacy::Amounts> charge(const privacy::Mechanism& mechanism, std::uint64_t index) const;
  /// For the log, the ledger and people.
  std::string describe(const privacy::Mechanism& mechanism) const;
};

/// How the task's plan has to be made so that rows are at hand where they are needed.
void prepare_private(const TaskConfig& task, const RuleChoice& choice,
                     robust::PlanRequest& request);
/// `plan`: of the request that prepare_private() changed; its coordinates are what counts here.
/// Refuses by a number that gives no sound mechanism: "noise_grid_too_coarse", "bucket_shape",
/// "shard_shape", "buckets_drown", "clip_noise", "noise_grid_overflow", "rounds_needed", ...
Result<PrivatePlan> plan_privacy(const TaskConfig& task, const RuleChoice& choice,
                                 const robust::Plan& plan, const kernels::Backend& backend);
/// Backend memory beside what `plan` names.
std::vector<robust::MemoryItem> private_memory(const PrivatePlan& privacy, const robust::Plan& plan,
                                               const kernels::Backend& backend);

}  // namespace muster::server
