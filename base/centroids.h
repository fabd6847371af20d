// Lloyd-Max quantisers of the standard normal distribution: what EDEN's codes stand for.
#pragma once

#include <span>

namespace muster {

/// The 2^bits centroids, ascending; bits in [1, 8]. A value belongs to the nearest one.
std::span<const float> centroids(unsigned bits);

}  // namespace muster
