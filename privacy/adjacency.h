// What one device's change means (algorithms 7.1). Printed with every epsilon.
#pragma once

#include <cstdint>
#include <string_view>

namespace muster::privacy {

enum class Adjacency : std::uint8_t {
  kZeroOut,     ///< one device's contribution becomes the zero vector; who took part is public
  kAddRemove,   ///< one device is absent
  kReplaceOne,  ///< one device's contribution becomes any other
};

constexpr std::string_view adjacency_name(Adjacency adjacency) {
  switch (adjacency) {
    case Adjacency::kZeroOut:
      return "zero-out";
    case Adjacency::kAddRemove:
      return "add-remove";
    case Adjacency::kReplaceOne:
      return "replace-one";
  }
  return "unknown";
}

/// Sensitivity of a sum of vectors clipped to C, in units of C.
constexpr double sum_sensitivity(Adjacency adjacency) {
  return adjacency == Adjacency::kReplaceOne ? 2 : 1;
}

}  // namespace muster::privacy
