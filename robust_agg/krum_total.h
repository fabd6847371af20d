// Exact scores of a few rows from the sum of the cohort; inside this room only. All squared
// distances of a row together are
//   n |x_i|^2 + sum |x_j|^2 - 2 <x_i, sum x_j>,
// one inner product. A score leaves out the farthest of them, so those are all that has to be read:
// some f rows instead of n.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "robust_agg/execution.h"
#include "robust_agg/select.h"

namespace muster::robust {

/// Bounds of a squared distance from exact norms and a sketched inner product (sketch.h): eight
/// deviations. Six would do for independent cells; eight also cover rows that share lanes and the
/// choice of neighbours by estimates.
class SketchedDistances {
 public:
  static constexpr double kDeviations = 8;

  /// `gram`: n x n, of the sketches; `norms`: n, squared, of the rows.
  SketchedDistances(std::span<const double> gram, std::span<const double> norms)
      : gram_(gram), norms_(norms) {}
  std::uint32_t n() const { return static_cast<std::uint32_t>(norms_.size()); }
  double product(std::size_t i, std::size_t j) const { return gram_[i * norms_.size() + j]; }
  std::span<const double> norms() const { return norms_; }
  double distance(std::size_t i, std::size_t j) const;  ///< estimated
  double least(std::size_t i, std::size_t j) const;
  double most(std::size_t i, std::size_t j) const;
  /// An upper bound from the sketches alone, whose error is a share of the distance, not of the
  /// norms: for rows that are much alike.
  double most_apart(std::size_t i, std::size_t j) const;

 private:
  double margin(std::size_t i, std::size_t j) const;

  std::span<const double> gram_, norms_;
};

struct TotalledScores {
  ScoreBounds bounds;   ///< of each of the rows asked for
  std::size_t far = 0;  ///< rows that were read beside those
};
/// Bounds of the scores of some valid rows over their q nearest. Reads those rows, and the ones
/// that may be among the n - 1 - q farthest of any; a quarter more than that at most, the others
/// count as what their sketches allow. None if no total was kept, or if a distance lies beyond
/// that.
Result<std::optional<TotalledScores>> scores_by_total(const Execution& run,
                                                      const SketchedDistances& sketched,
                                                      std::span<const std::uint32_t> rows,
                                                      std::uint32_t q);

}  // namespace muster::robust
