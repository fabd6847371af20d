// binary32 to binary16 and bfloat16: to the nearest, ties to even, and no further out than a bound.
#pragma once

#include <cstdint>

namespace muster::client {

/// Nearest binary16, ties to even; too large becomes infinity. `value` is finite.
std::uint16_t to_half(float value);
/// Exact.
float from_half(std::uint16_t bits);
/// Nearest bfloat16, ties to even. `value` is finite.
std::uint16_t to_bfloat(float value);
/// Exact.
float from_bfloat(std::uint16_t bits);

/// As above, one step nearer to zero where the nearest lies beyond +-bound. |value| <= bound.
std::uint16_t to_half_within(float value, float bound);
std::uint16_t to_bfloat_within(float value, float bound);

}  // namespace muster::client
