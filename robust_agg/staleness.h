// How much an update counts that was trained on an older model (buffered asynchronous rounds;
// Nguyen et al. 2022, "FedBuff"). Integers, so that sums stay on the grid: a weighted rule takes
// weight * staleness_weight(), and the task's max_weight grows by the factor kFreshWeight.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace muster::robust {

/// What an update of the current version counts.
inline constexpr std::uint32_t kFreshWeight = 1024;

/// s(t) = (1 + t)^(-half_power / 2), t the versions the model moved on since the device took it.
struct Staleness {
  std::uint32_t half_power = 1;  ///< 0: all count the same; 1: 1 / sqrt(1 + t), as FedBuff
};

/// s(t) * kFreshWeight rounded to the nearest integer, at least 1. Exact: integers only.
std::uint32_t staleness_weight(const Staleness& staleness, std::uint64_t t);

/// "constant", "square_root" or "polynomial" with an exponent that is a multiple of 1/2 in (0, 8]
/// (only "polynomial" takes one). "staleness_parameter" otherwise.
Result<Staleness> parse_staleness(const std::string& name, double exponent);

}  // namespace muster::robust
