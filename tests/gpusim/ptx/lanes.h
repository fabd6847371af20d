// Lanes, masks and rows: a register of a warp is a row of 32 values, a predicate is a mask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace gpusim {

inline constexpr int kLanes = 32;
using Mask = std::uint32_t;
inline constexpr Mask kAllLanes = ~Mask{0};

inline Mask lane_bit(int lane) { return Mask{1} << lane; }
inline int first_lane(Mask mask) { return __builtin_ctz(mask); }
inline int count_lanes(Mask mask) { return __builtin_popcount(mask); }

// Calls body(lane) for every lane of the mask, ascending. The loop over a full mask is one the
// compiler vectorises: lanes may not touch each other's elements.
template <class Body>
inline void for_lanes(Mask mask, Body body) {
  if (mask == kAllLanes) {
#pragma GCC ivdep
    for (int lane = 0; lane < kLanes; ++lane) body(lane);
  } else {
    for (; mask != 0; mask &= mask - 1) body(first_lane(mask));
  }
}

// A row holds 4-byte elements for types up to 32 bits (zero-extended) and 8-byte elements for
// 64-bit ones.
template <class T>
using Stored = std::conditional_t<std::is_floating_point_v<T>, T,
                                  std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>>;

template <class T>
inline Stored<T> stored(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return value;
  } else {
    return static_cast<std::make_unsigned_t<T>>(value);
  }
}

}  // namespace gpusim
