// The steps of a selection by Krum scores; inside this room only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "robust_agg/coefficients.h"
#include "robust_agg/execution.h"
#include "robust_agg/select.h"

namespace muster::robust {

/// Rows a sketched selection decides on exact distances, at most.
constexpr std::size_t kMostMeasured = 64;

/// Selected rows, as indices into the valid rows, ascending; and a phrase for the round's record.
struct Selection {
  std::vector<std::uint32_t> rows;
  std::string how;
};

/// The parameters.m of the given rows with the least (score, rank), where row k of `distances` is
/// valid row order[k]. The scores are those of direct differences; the distances only spare
/// computing the ones that cannot matter.
struct Decision {
  std::vector<std::uint32_t> rows;  ///< as Selection::rows
  std::size_t pairs_measured = 0;
};
Result<Decision> decide(const Execution& run, const GramDistances& distances,
                        const ScoreBounds& bounds, std::span<const std::uint32_t> order,
                        const KrumParameters& parameters);
/// How many pairs decide() would measure at most.
std::size_t pairs_to_measure(const GramDistances& distances, const ScoreBounds& bounds,
                             const KrumParameters& parameters);

Result<Selection> select_sketched(const Execution& run, const KrumParameters& parameters);

}  // namespace muster::robust
