// What an update is worth that was trained on an older model (buffered rounds: Nguyen et al. 2022,
// FedBuff, section 5).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace muster::robust {

/// How the weight of an update falls with its staleness t, the model versions it is behind.
enum class StalenessWeight : std::uint8_t {
  kConstant,     ///< 1
  kInverseRoot,  ///< 1 / sqrt(1 + t), as FedBuff
  kInverse,      ///< 1 / (1 + t)
};

/// "constant", "inverse_root", "inverse".
std::string_view staleness_weight_name(StalenessWeight weight);
std::optional<StalenessWeight> parse_staleness_weight(std::string_view name);

/// Weights of buffered rounds count in units of 1 / kStalenessUnit, so that they stay integers.
inline constexpr std::uint32_t kStalenessUnit = 1024;
/// round(kStalenessUnit * s(t)), ties to even; at least 1. Exact on every machine: the square root
/// of an f64 is correctly rounded.
std::uint32_t staleness_units(StalenessWeight weight, std::uint32_t staleness);

}  // namespace muster::robust
