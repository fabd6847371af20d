// What hostile phones send instead of what they learned (definitions and sources: docs/rules.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace muster::loadtest {

enum class Attack : std::uint8_t {
  kSignFlip,        ///< minus ten times its own honest delta
  kLittleIsEnough,  ///< mu - z * sigma of the colluders' honest deltas (Baruch et al. 2019)
  kLabelFlip,       ///< honest training on mirrored labels
  kMixed,           ///< every second attacker does the one, the rest the other
};

/// "sign_flip", "little_is_enough", "label_flip", "mixed".
std::string_view attack_name(Attack attack);
std::optional<Attack> parse_attack(std::string_view name);

/// In place: -10 x. How far the attacker amplifies is the paper's usual "boost".
void flip_sign(std::span<float> delta);

/// The shift, in standard deviations, that hides f attackers among n - f honest rows:
/// Phi^-1((h - s) / h), h = n - f, s = floor(n / 2 + 1) - f. 0 where no honest row need be won
/// over.
double little_is_enough_z(std::size_t n, std::size_t f);

/// mu - z * sigma per coordinate of equally long `deltas` (ddof 1; sigma 0 of a single one).
std::vector<float> little_is_enough(std::span<const std::span<const float>> deltas, double z);

/// Phi^-1: the quantile of the standard normal distribution; p in (0, 1). Error below 1e-12.
double normal_quantile(double p);

}  // namespace muster::loadtest
