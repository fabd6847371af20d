// Privacy loss distributions (Koskela et al. 2020; Doroshenko et al. 2022): the whole distribution
// of the loss, composed by convolution. The tightest statement for sampled rounds.
//
// Every value is an upper bound. Each round's loss is replaced by a discrete one that dominates it
// (loss_pair.h). The convolution is made on the exponentially tilted distribution, so that its
// error is small beside delta and not beside 1; the error bound of the transforms, what lies above
// the window and all infinite mass are added, and what wraps around only adds.
#pragma once

#include <cstdint>
#include <span>

#include "privacy/adjacency.h"

namespace muster::privacy {

/// `count` rounds of one kind. Noise is against the clip norm C under every adjacency.
struct LossStep {
  double noise_multiplier = 1;
  double q = 1;  ///< probability that a device is in the round
  std::uint64_t count = 1;
  /// A round that takes `capacity` devices at most, sampled from `population` (Ganesh 2025,
  /// truncated Poisson): 0 for no limit.
  std::uint64_t population = 0;
  std::uint64_t capacity = 0;
};

/// The least epsilon this accountant can show for `delta`, 0 < delta < 1; infinite where it cannot.
double pld_epsilon(std::span<const LossStep> steps, Adjacency adjacency, double delta);

/// P(Binomial(n, q) >= k), from above.
double binomial_tail(std::uint64_t n, double q, std::uint64_t k);

}  // namespace muster::privacy
