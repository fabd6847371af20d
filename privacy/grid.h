// The grid of a private round (algorithms 7.2): integers on which a contribution has an exact
// bound, and the noise a standard deviation that is a power of two.
//
// A contribution is an integer vector of norm at most `bound`, worth step = C / bound each unit;
// the noise has the standard deviation 2^log2_sigma. So the noise multiplier is the ratio of two
// integers and no rounding stands between what is proven and what is released. Values are rounded
// to the nearest integer, as everywhere on Muster's grids; the clip aims below the bound by what
// rounding can add, and kernels::Backend::grid_norms decides in integers (privacy/clip.h).
#pragma once

#include <cstdint>

#include "base/status.h"

namespace muster::privacy {

struct GridRequest {
  double clip_norm = 1;             ///< C: what a contribution may have at most, in model units
  double noise_multiplier = 1;      ///< z: at least this times C max_weight becomes the deviation
  std::uint64_t dimension = 1;      ///< of the vector noise is added to
  std::uint32_t contributions = 1;  ///< added up at most
  std::uint32_t max_weight = 1;
};

struct NoiseGrid {
  int log2_sigma = 0;       ///< m
  std::uint64_t bound = 0;  ///< greatest norm of one contribution of weight 1, in steps
  double step = 0;          ///< gamma, in model units
  /// 2^m / (bound max_weight), rounded down: what was asked for, or a little more.
  double noise_multiplier = 0;
  /// Norm to clip at, in steps: below `bound` by what rounding adds to a vector and by 2^-20 for
  /// norms known in floating point. `roundings` a coordinate: 2 around a centre.
  double aim(std::uint64_t dimension, int roundings = 1) const;
};

/// The finest grid with m <= 40 on which no sum can leave i64. "noise_grid_too_coarse" where m <
/// 10 + log2(contributions), with the numbers; "privacy_parameter" for a number outside its range.
Result<NoiseGrid> plan_grid(const GridRequest& request);

}  // namespace muster::privacy
