// Selection by Krum scores that does not depend on how the Gram matrix was rounded; inside this
// room only. A score is the sum of the q smallest squared distances of a row to the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace muster::robust {

/// Squared distances from a Gram matrix, or from its first rows: G_ii + G_jj - 2 G_ij, never below
/// 0; or a table of them.
class GramDistances {
 public:
  /// `gram`: n x n, row-major. `relative_error` times (G_ii + G_jj), and `absolute_error`, bound
  /// the error of the distance of i and j; both 0 where the matrix is exact.
  GramDistances(std::span<const double> gram, std::uint32_t n, double relative_error);
  /// `gram`: rows x n; the n squared norms are known apart from it.
  GramDistances(std::span<const double> gram, std::vector<double> squared_norms,
                double relative_error, double absolute_error = 0);
  /// Exact distances themselves, n x n, for what works on bounds.
  static GramDistances of_table(std::span<const double> squared_distances, std::uint32_t n);

  std::uint32_t n() const { return n_; }
  std::uint32_t rows() const { return static_cast<std::uint32_t>(gram_.size() / n_); }
  bool exact() const { return relative_error_ == 0; }
  /// Row i < rows(), j < n().
  double least(std::uint32_t i, std::uint32_t j) const;  ///< a lower bound
  double most(std::uint32_t i, std::uint32_t j) const;   ///< an upper bound

 private:
  double distance(std::uint32_t i, std::uint32_t j) const;
  double error(std::uint32_t i, std::uint32_t j) const;

  std::span<const double> gram_;
  std::vector<double> squared_norms_;
  std::uint32_t n_;
  double relative_error_, absolute_error_;
  bool table_ = false;  ///< gram_ holds squared distances
};

/// The sum of the q smallest, added in ascending order so that it is one number whatever the order
/// of `values` was. Reorders `values`.
double smallest_sum(std::vector<double>& values, std::uint32_t q);

/// Bounds of the score of every row of the matrix. Rows are their own neighbours in no case.
struct ScoreBounds {
  std::vector<double> least;
  std::vector<double> most;
};
ScoreBounds score_bounds(const GramDistances& distances, std::uint32_t q);

/// What bounds alone say about the m best rows: rows that are among them whatever the true scores
/// are, and rows between which the true scores (or ranks) must decide about the open places.
struct Verdict {
  std::vector<std::uint32_t> selected;    ///< ascending
  std::vector<std::uint32_t> contenders;  ///< ascending; empty if nothing is open
  std::uint32_t open = 0;                 ///< places left for contenders
};
Verdict judge(const ScoreBounds& bounds, std::uint32_t m);

/// Scores among the rows that are left while rows are taken away one by one. 8 n^2 bytes.
class RemainingScores {
 public:
  /// `distances` must outlive this.
  explicit RemainingScores(const GramDistances& distances);

  const std::vector<std::uint32_t>& rows() const { return rows_; }  ///< left, ascending
  void remove(std::uint32_t row);
  /// Of the rows left, in the order of rows(), over their q nearest among them.
  ScoreBounds bounds(std::uint32_t q) const;
  /// The other rows left that may be among the q nearest of row i, ascending; at least q.
  std::vector<std::uint32_t> possible_neighbours(std::uint32_t i, std::uint32_t q) const;

 private:
  using Order = std::vector<std::uint32_t>;  ///< n rows of n - 1 others, nearest first

  const GramDistances& distances_;
  Order by_most_, by_least_;  ///< by_least_ is empty where distances are exact
  std::vector<std::uint32_t> rows_;
  std::vector<bool> left_;
};

/// The other rows that may be among the q nearest of row i, ascending; at least q.
std::vector<std::uint32_t> possible_neighbours(const GramDistances& distances, std::uint32_t i,
                                               std::uint32_t q);

}  // namespace muster::robust
