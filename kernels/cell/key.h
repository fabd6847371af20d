// Integer keys that order as the floats do.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

/// Greater than the key of every number.
constexpr int32_t kKeyPastAll = INT32_MAX;

/// key_of(a) < key_of(b) exactly where a < b, for numbers a and b; -0 becomes +0.
MUSTER_CELL int32_t key_of(float x) {
  const int32_t bits = static_cast<int32_t>(bits_of(x + 0.0f));
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

MUSTER_CELL float value_of(int32_t key) {
  return float_of(static_cast<uint32_t>(key ^ ((key >> 31) & 0x7fffffff)));
}

/// The same in 16 bits, unsigned, for the 16-bit floats: sign and magnitude, -0 as +0.
MUSTER_CELL uint16_t ordered_half(uint16_t bits) {
  const uint32_t number = bits == 0x8000u ? 0u : bits;
  const uint32_t flip = (number & 0x8000u) != 0 ? 0xffffu : 0x8000u;
  return static_cast<uint16_t>(number ^ flip);
}
MUSTER_CELL uint16_t half_of(uint16_t key) {
  const uint32_t flip = (key & 0x8000u) != 0 ? 0x8000u : 0xffffu;
  return static_cast<uint16_t>(key ^ flip);
}

}  // namespace muster::kernels::cell
