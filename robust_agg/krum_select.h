// The steps of a selection by Krum scores; inside this room only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "robust_agg/buffer.h"
#include "robust_agg/execution.h"
#include "robust_agg/select.h"

namespace muster::robust {

/// Rows a sketched selection decides on exact distances, at most.
constexpr std::size_t kMostMeasured = 64;

/// m rows are selected by scores over q neighbours.
struct KrumParameters {
  std::uint32_t m = 0;
  std::uint32_t q = 0;
};

/// Selected rows, as indices into the valid rows, ascending; and a phrase for the round's record.
struct Selection {
  std::vector<std::uint32_t> rows;
  std::string how;
};

/// A matrix in backend memory, readable by the host.
struct HostMatrix {
  ScopedBuffer buffer;
  std::vector<double> copy;  ///< where the host cannot read the buffer
  std::span<const double> values;
};
/// Waits for what fills the buffer with `count` values.
HostMatrix host_matrix(kernels::Backend& backend, ScopedBuffer buffer, std::size_t count);

/// The first `rows` rows of the Gram matrix of the valid rows in the order given.
struct Gram {
  HostMatrix matrix;
  std::optional<int> least_exponent;  ///< I8S: of the scales met
};
/// `centred`: around the coordinate-wise median of a few rows that a secret picks (their ranks), so
/// that a cohort of rows that are much alike keeps its digits; one more pass.
Result<Gram> gram_of(const Execution& run, std::span<const std::uint32_t> order, std::uint32_t rows,
                     bool centred);

/// E / (G_ii + G_jj) for any pair: how far a distance from this Gram matrix and the one
/// pair_distances() would return can be apart.
double relative_error(const Execution& run, const Gram& gram,
                      std::span<const double> squared_norms);

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
