#include "robust_agg/staleness.h"

#include <cmath>

namespace muster::robust {
namespace {

constexpr std::uint32_t kMaxHalfPower = 16;

using Wide = unsigned __int128;

/// (2w - 1)^2 (1 + t)^p <= (2 * kFreshWeight)^2, that is w - 1/2 <= s(t) * kFreshWeight.
bool reaches(std::uint32_t w, std::uint32_t half_power, std::uint64_t t) {
  constexpr Wide kLimit = Wide{4} * kFreshWeight * kFreshWeight;
  Wide product = Wide{2 * w - 1} * (2 * w - 1);
  for (std::uint32_t power = 0; power < half_power; ++power) {
    if (product > kLimit) return false;
    product *= Wide{t} + 1;
  }
  return product <= kLimit;
}

}  // namespace

std::uint32_t staleness_weight(const Staleness& staleness, std::uint64_t t) {
  if (staleness.half_power == 0) return kFreshWeight;
  std::uint32_t least = 1, most = kFreshWeight;  // the greatest w that is reached; never below 1
  while (least < most) {
    const std::uint32_t middle = (least + most + 1) / 2;
    if (reaches(middle, staleness.half_power, t))
      least = middle;
    else
      most = middle - 1;
  }
  return least;
}

Result<Staleness> parse_staleness(const std::string& name, double exponent) {
  const auto refuse = [](const std::string& why) {
    return Status(Code::kInvalid, "staleness_parameter", why);
  };
  if (name == "constant" || name == "square_root") {
    if (exponent != 0) return refuse("staleness \"" + name + "\" takes no exponent");
    return Staleness{name == "constant" ? 0u : 1u};
  }
  if (name != "polynomial")
    return refuse("staleness must be \"constant\", \"square_root\" or \"polynomial\"");
  const double half_power = 2 * exponent;
  if (!(half_power >= 1 && half_power <= kMaxHalfPower && half_power == std::floor(half_power)))
    return refuse("the exponent of a polynomial staleness must be a multiple of 1/2 in (0, " +
                  std::to_string(kMaxHalfPower / 2) + "], it is " + std::to_string(exponent));
  return Staleness{static_cast<std::uint32_t>(half_power)};
}

}  // namespace muster::robust
