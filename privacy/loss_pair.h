// The two distributions on the line that dominate a round with Gaussian noise, sampled or not, and
// their privacy loss on a grid. Unit of the line: the clip norm C.
#pragma once

#include <cstdint>
#include <vector>

namespace muster::privacy {

/// Which of two neighbours is the first. With q the sampling probability and M(c) the mixture
/// (1 - q) N(0, z^2) + q N(c, z^2):
enum class LossSide : std::uint8_t {
  kRemove,   ///< M(1) against N(0, z^2)
  kAdd,      ///< N(0, z^2) against M(1)
  kReplace,  ///< M(1) against M(-1), which is its own mirror image
};

struct LossPair {
  double noise_multiplier = 1;  ///< z
  double q = 1;
  LossSide side = LossSide::kRemove;

  /// ln of the ratio of densities at x. Grows with x, but falls for kAdd.
  double loss(double x) const;
  /// The x where the loss is `l`; infinite where it is never reached.
  double x_of(double l) const;
  /// Mass in low < x <= high under the first and under the second distribution.
  double first_mass(double low, double high) const;
  double second_mass(double low, double high) const;
};

/// Masses at losses (first + i) * step, and at infinity.
struct LossMasses {
  double step = 0;
  std::int64_t first = 0;
  std::vector<double> mass;
  double infinite = 0;
};

/// A discrete loss that dominates the pair's for every order of composition: within a cell of the
/// grid mass moves to its two ends so that both distributions keep theirs ("connecting the dots",
/// Doroshenko et al. 2022); what lies beyond 12 standard deviations moves to the lowest point or to
/// infinity.
LossMasses discretise(const LossPair& pair, double step);
/// Root of the mean square of the loss under the first distribution, to a per cent: the scale of a
/// good grid.
double loss_scale(const LossPair& pair);
/// Least and greatest loss within 12 standard deviations.
double least_loss(const LossPair& pair);
double greatest_loss(const LossPair& pair);

/// `share` of `a` and the rest of `b`, on the same step.
LossMasses mix(double share, const LossMasses& a, const LossMasses& b);

}  // namespace muster::privacy
