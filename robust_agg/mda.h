// The n - f rows of least diameter; inside this room only.
#pragma once

#include <cstdint>
#include <vector>

#include "robust_agg/cloud.h"

namespace muster::robust {

/// Subsets among which MDA may have to choose at most.
inline constexpr std::uint64_t kMostSubsets = 10'000'000;

/// min(C(n, f), kMostSubsets + 1), for f <= n.
std::uint64_t subset_count(std::uint32_t n, std::uint32_t f);

/// The n - f rows whose largest distance is least, ascending; of several such sets the
/// lexicographically first.
std::vector<std::uint32_t> tightest_rows(const Cloud& cloud, std::uint32_t f);

}  // namespace muster::robust
