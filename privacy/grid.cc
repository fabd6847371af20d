#include "privacy/grid.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "base/limits.h"
#include "kernels/backend.h"

namespace muster::privacy {
namespace {

/// Noise is below 16 standard deviations (kernels/cell/gauss.h).
constexpr int kNoiseRange = 4;
/// Beyond this grid_norms() no longer tells lengths apart.
constexpr double kMaxBound = 0x1p45;
constexpr int kMarginBits = 10;

}  // namespace

double NoiseGrid::aim(std::uint64_t dimension, int roundings) const {
  const double rounding = roundings * std::sqrt(static_cast<double>(dimension)) / 2;
  return static_cast<double>(bound) * (1 - 0x1p-20) - rounding - 1;
}

Result<NoiseGrid> plan_grid(const GridRequest& request) {
  const auto refuse = [](const char* what) {
    return Status(Code::kInvalid, "privacy_parameter", what);
  };
  if (!(request.clip_norm > 0 && std::isfinite(request.clip_norm)))
    return refuse("the clip norm must be a positive number");
  if (!(request.noise_multiplier >= 0x1p-4 && request.noise_multiplier <= 0x1p20))
    return refuse("the noise multiplier must be between 0.0625 and 1048576");
  if (request.contributions == 0 || request.contributions > limits::kMaxUpdates)
    return refuse("the number of contributions must be positive and at most 2^24");
  if (request.max_weight == 0 || request.max_weight > limits::kMaxWeight)
    return refuse("max_weight must be positive and at most 2^20");
  if (request.dimension == 0 || request.dimension > limits::kMaxDimension)
    return refuse("the dimension must be positive and at most 2^34");

  const double weight = request.max_weight;
  const int needed = kMarginBits + static_cast<int>(std::bit_width(request.contributions - 1u));
  for (int m = kernels::kMaxLog2Sigma; m >= std::max(needed, kernels::kMinLog2Sigma); --m) {
    const double bound = std::floor(std::ldexp(1 / (request.noise_multiplier * weight), m));
    const double sum = bound * weight * request.contributions;
    if (bound > kMaxBound || sum + std::ldexp(1.0, m + kNoiseRange) > 0x1p62) continue;
    NoiseGrid grid{m, static_cast<std::uint64_t>(bound), request.clip_norm / bound, 0};
    // The clip must not give away more than a thousandth to rounding.
    if (grid.aim(request.dimension, 2) < bound * 0.999) break;
    const double multiplier = std::ldexp(1 / (bound * weight), m);
    grid.noise_multiplier = std::nextafter(std::nextafter(multiplier, 0), 0);
    return grid;
  }
  return Status(
      Code::kInvalid, "noise_grid_too_coarse",
      fmt::format("{} contributions of weight {} with noise multiplier {} in {} coordinates find "
                  "no grid with at least 2^{} steps a standard deviation: lower the cohort, the "
                  "greatest weight or the noise multiplier",
                  request.contributions, request.max_weight, request.noise_multiplier,
                  request.dimension, needed));
}

}  // namespace muster::privacy
