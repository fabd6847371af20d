// The numbers that attacks search for: how far a hostile row may go before it shows, and how far it
// should go against the rule it meets.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"

namespace muster::loadtest {

/// What the server makes of a cohort of equally long rows; its Status where the rule is not defined
/// on it.
using CohortRule =
    std::function<Result<std::vector<float>>(std::span<const std::vector<float>> rows)>;

/// Largest gamma for which mean + gamma direction stays within what honest rows are apart: the
/// largest distance of two, or (`sums`) the largest sum of squared distances of one to all
/// (Shejwalkar and Houmansadr 2021).
double hidden_gamma(std::span<const std::vector<float>> rows, std::span<const double> mean,
                    std::span<const double> direction, bool sums);

/// The scale, 0 or more, that does the most damage as far as 20 questions tell: steps from 0, first
/// by 10 and doubling, then around the best by ever shorter ones (each 0.8 of the last).
Result<double> most_damaging_scale(const std::function<Result<double>(double)>& damage);

/// The epsilon for which rows of -epsilon mean draw the rule's answer furthest from the mean, where
/// `hostile` of them come beside the honest rows (Opt-IPM). Rows are clamped to `bound`.
Result<double> optimal_epsilon(std::span<const std::vector<float>> honest,
                               std::span<const double> mean, std::size_t hostile, float bound,
                               const CohortRule& rule);

}  // namespace muster::loadtest
