// From the updates of a private round to noised sums (docs/privacy.md): what is folded while they
// arrive, and what is done at the close. Sums without noise stay in the buffers named here, which
// their owner wipes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "robust_agg/aggregate.h"
#include "server/private_noise.h"
#include "server/private_plan.h"

namespace muster::server {

/// What is fixed when a private round opens. All outlive what works with it.
struct PrivateRound {
  const PrivatePlan& plan;
  privacy::Mechanism mechanism;  ///< at this round's clip norm
};

/// Updates that were clipped or not, in half updates (privacy/clip.h).
struct ClipCount {
  std::int64_t unclipped = 0, clipped = 0;
  void add(const privacy::Contributions& contributions);
};

/// Sums that each update is added to by itself when it is whole: kMean, kVotes.
class PrivateFold {
 public:
  /// `sum`: plan.rule_dimension zeroed i64, `decoded`: plan.decoded_bytes; backend memory.
  PrivateFold(kernels::Backend& backend, const robust::Plan& plan, const PrivateRound& round,
              std::int64_t* sum, float* decoded);
  /// As RowFold::add(). Nothing about an update comes back.
  void add(std::span<const kernels::Codes> chunks, std::span<const std::uint32_t> weights);
  const ClipCount& count() const { return count_; }

 private:
  kernels::Backend& backend_;
  const robust::Plan& plan_;
  const PrivateRound& round_;
  std::int64_t* sum_;
  float* decoded_;
  ClipCount count_;
  std::vector<kernels::Codes> taken_;
  std::vector<std::vector<const std::byte*>> addresses_;
};

/// What a close works with.
struct PrivateClose {
  kernels::Backend& backend;
  const robust::Plan& plan;
  const PrivateRound& round;
  const RoundNoise& noise;
  robust::Cohort* cohort = nullptr;  ///< null: everything is in `sum` already
  const float* centre = nullptr;     ///< the last release, in backend memory; null: zeros
  float* decoded = nullptr;     ///< kTrimmed, kCentred: one chunk of all rows, where codes need it
  std::int64_t* sum = nullptr;  ///< plan.rule_dimension; zeros where there is a cohort
  ClipCount count = {};
};

struct NoisedSums {
  /// As of a rule on the task's grid: coordinate k is sum[k] 2^-grid_bits / divisor. Nothing else
  /// is in it that depends on updates.
  robust::Outcome outcome;
  std::optional<std::int64_t> clip_count;  ///< noised
};
/// Brings noised sums into `close.sum`. The round's spend and its key are on disk before this is
/// called. A kInvalid Status is of a rule that runs on noised values: post-processing.
Result<NoisedSums> noise_sums(PrivateClose close);

}  // namespace muster::server
