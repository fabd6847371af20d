// The mechanisms of the decision table (algorithms 7.10, 7.11): what one device can move, where the
// noise goes, how much. Pure: numbers in, numbers or a refusal out. privacy/apply.h carries them
// out.
//
// All add discrete Gaussian noise of standard deviation 2^m to a vector of integers of which one
// device moves at most `sensitivity_units` in L2; what is made of the noised integers later is
// post-processing. Released is sum * step / divisor.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "privacy/adjacency.h"
#include "privacy/grid.h"

namespace muster::privacy {

/// What all mechanisms need to know. All of it is public.
struct MechanismRequest {
  double clip_norm = 1;         ///< C; tau for centred clipping
  double noise_multiplier = 1;  ///< z: deviation of the noise on a sum over C
  std::uint64_t dimension = 1;
  std::uint32_t n = 1;  ///< the fixed cohort: what sums are divided by, and the most there are
  Adjacency adjacency = Adjacency::kZeroOut;
};

struct Mechanism {
  std::string name;     ///< "gaussian mean"
  std::string formula;  ///< of the released value's sensitivity, with the numbers
  NoiseGrid grid;
  Adjacency adjacency = Adjacency::kZeroOut;
  std::uint64_t sensitivity_units = 0;  ///< of the integers noise is added to, under `adjacency`
  double divisor = 1;
  std::uint32_t vectors = 1;  ///< of noise a release draws
  /// z as accountants take it (Schedule::noise_multiplier): deviation over sensitivity, times the
  /// sensitivity of a sum in units of C (sum_sensitivity). Rounded down.
  double noise_multiplier = 0;

  /// Of the released value, in model units.
  double sensitivity() const {
    return static_cast<double>(sensitivity_units) * grid.step / divisor;
  }
};

/// Clipped updates, weights up to max_weight, added up and divided by the constant
/// `weight_total` (0: n max_weight). Zero-out: C max_weight / weight_total.
Result<Mechanism> gaussian_mean(const MechanismRequest& request, std::uint32_t max_weight = 1,
                                double weight_total = 0);

/// Lemma L1: the sum of the n - 2f kept values of a coordinate is 1-Lipschitz in each update;
/// noise goes on that integer sum. n counts every device of the cohort, absent and invalid ones as
/// zero vectors. Zero-out: C / (n - 2f). "trim_bound" unless 2f < n.
Result<Mechanism> trimmed_mean(const MechanismRequest& request, std::uint32_t f);

/// Lemma L2: the kept values of `shards` disjoint shards of n / shards devices, f left out at
/// either end in each, all added up; a device is in one shard, by an assignment that does not look
/// at updates. Zero-out: C / (shards (n / shards - 2f)). "shard_shape" where n is no multiple,
/// "trim_bound" unless 2f < n / shards.
Result<Mechanism> trimmed_shards(const MechanismRequest& request, std::uint32_t shards,
                                 std::uint32_t f);

/// Lemma L4 with one step: v + sum of Pi_tau(x_i - v) / n around a public v, the last noised
/// release. Zero-out drops the term: tau / n.
Result<Mechanism> centred_clipping(const MechanismRequest& request);

/// Lemma L8: noise on each of `buckets` sums of `size` clipped updates; any rule afterwards. A
/// device is in one bucket, by an assignment that does not look at updates: all buckets together
/// are one Gaussian mechanism. Sensitivity is that of a bucket's mean, C / size. "bucket_shape"
/// unless buckets * size = n.
Result<Mechanism> noised_buckets(const MechanismRequest& request, std::uint32_t buckets,
                                 std::uint32_t size);
/// Whether an attack of `bucket_share` of the buckets can be told from the noise between bucket
/// means in `dimension` coordinates: 2C share >= (4 sqrt(8 D))^(1/2) z C / s.
bool buckets_are_useful(const MechanismRequest& request, std::uint32_t size, double bucket_share);

/// Lemma L9: mean of the outputs of `shards` disjoint random shards, each clipped to C. Whatever
/// one device does changes one output by 2C at most, under every adjacency: 2C / shards.
Result<Mechanism> sample_and_aggregate(const MechanismRequest& request, std::uint32_t shards);

/// Lemma L7: noise on the sums of votes of -1, 0 or 1 a coordinate, sensitivity sqrt(D); the sign
/// is post-processing. The grid's bound is a device's votes, scaled by vote_units().
Result<Mechanism> sign_votes(const MechanismRequest& request);
/// What a vote counts on the grid of sign_votes().
std::int64_t vote_units(const Mechanism& mechanism);

}  // namespace muster::privacy
