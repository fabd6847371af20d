// Rows elected one after the other; inside this room only.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "robust_agg/distances.h"
#include "robust_agg/select.h"

namespace muster::robust {

/// The theta = n - 2f rows that Krum elects when each winner is taken away and the scores are
/// computed anew over the max(1, n' - f - 2) nearest of the n' rows left; in order of election. Of
/// equal scores the lower rank wins. `measured` decides where the bounds cannot; null if the
/// distances are exact.
Result<std::vector<std::uint32_t>> elected_rows(const GramDistances& distances,
                                                std::span<const std::uint64_t> ranks,
                                                std::uint32_t f, MeasuredDistances* measured);

}  // namespace muster::robust
