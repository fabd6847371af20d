// Contributions with an exact bound: each update clipped, put on the grid and checked there in
// integers (algorithms 7.2); and the clip norm that follows a quantile (7.4).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "privacy/grid.h"

namespace muster::privacy {

/// The updates of a sealed round as rules take them: n rows in chunks of `chunk_coordinates`, the
/// last one shorter.
struct Rows {
  std::uint32_t n = 0;
  std::size_t dimension = 0;
  std::size_t chunk_coordinates = 0;
  /// All rows of a chunk, in backend memory until the next call.
  std::function<Result<kernels::Codes>(std::uint32_t chunk)> chunk;

  std::uint32_t chunk_count() const {
    return static_cast<std::uint32_t>(divide_up(dimension, chunk_coordinates));
  }
  std::size_t begin(std::uint32_t c) const { return c * chunk_coordinates; }
};

/// What each row adds: the integers round(factors[i] x_ik), or around a centre round(factors[i]
/// x_ik) + round(-factors[i] centre_k). Their norm is at most grid.bound; a factor of 0 is the zero
/// vector.
struct Contributions {
  std::vector<double> factors;
  std::uint32_t invalid = 0;    ///< not finite or beyond the value bound: zero
  std::uint32_t clipped = 0;    ///< longer than the clip norm
  std::uint32_t unbounded = 0;  ///< the integer check refused the row: zero
};

/// Three passes over the rows: norms, from the origin or from `centre` (rows.dimension f32 in
/// backend memory, the last noised release); the integer check; the caller's sum is the third. A
/// row's factor depends on that row and public values alone.
Result<Contributions> clip_to_grid(kernels::Backend& backend, const Rows& rows, float value_bound,
                                   const NoiseGrid& grid, const float* centre = nullptr);

/// Adaptive clipping (Andrew et al. 2021). Counts updates that were *not* clipped.
struct AdaptiveClip {
  double quantile = 0.5;   ///< share of updates the clip norm should spare
  double rate = 0.2;       ///< eta
  double count_sigma = 0;  ///< sigma_b: standard deviation of the noise on the count; n / 20
  std::uint32_t n = 0;     ///< public
};

/// Multiplier that is left for the updates so that both releases together have `z`:
/// (z^-2 - (2 sigma_b)^-2)^(-1/2). "clip_noise" where z >= 2 sigma_b.
Result<double> update_multiplier(double z, double count_sigma);

/// The noised count in half units: every update counts +units_per_half if unclipped, else
/// -units_per_half; the noise is kernels::NoiseJob with log2_sigma = kCountLog2Sigma.
inline constexpr int kCountLog2Sigma = 30;
/// Largest for which the noise has at least count_sigma; "clip_noise" where there is none.
Result<std::int64_t> count_units_per_half(double count_sigma);

/// C exp(-rate (b - quantile)), b the noised share of unclipped updates, held to [0, 1].
double next_clip_norm(const AdaptiveClip& adaptive, double clip_norm, std::int64_t noised_count,
                      std::int64_t units_per_half);

}  // namespace muster::privacy
