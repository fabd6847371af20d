// Squared distances of the valid rows of a cohort: all of them in one pass from the Gram matrix
// with a bound on its error, and direct differences for the pairs that need them; inside this room
// only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "robust_agg/buffer.h"
#include "robust_agg/execution.h"
#include "robust_agg/select.h"

namespace muster::robust {

/// A matrix in backend memory, readable by the host.
struct HostMatrix {
  ScopedBuffer buffer;
  std::vector<double> copy;  ///< where the host cannot read the buffer
  std::span<const double> values;
};
/// Waits for what fills the buffer with `count` values.
HostMatrix host_matrix(kernels::Backend& backend, ScopedBuffer buffer, std::size_t count);

/// The Gram matrix of the valid rows in some order, or its first rows.
struct Gram {
  HostMatrix matrix;
  std::optional<int> least_exponent;  ///< shared scales: of those met
};

/// Around what a Gram matrix is taken.
enum class Origin : std::uint8_t {
  kZero,
  kCentre,  ///< see centre.h; one more pass
};

/// The first `rows` rows. Row k of the matrix is valid row order[k].
Result<Gram> gram_of(const Execution& run, std::span<const std::uint32_t> order, std::uint32_t rows,
                     Origin origin);
/// All valid rows in their own order.
Result<Gram> gram_of(const Execution& run, Origin origin = Origin::kZero);
/// Fewer take less time in f64 than their centre does.
inline constexpr std::uint32_t kRowsWorthEstimating = 64;
/// The same around a centre, from products in f32; none where the backend has no such thing or it
/// is not worth it.
Result<std::optional<Gram>> estimated_gram_of(const Execution& run);

/// The n entries of the diagonal of a whole matrix.
std::vector<double> diagonal(const Gram& gram, std::size_t n);

/// E / (G_ii + G_jj) for any pair: how far the Gram distance and the one pair_distances() would
/// return can be apart. Both err by at most (additions in a row) * 2^-53 * (|x_i| + |x_j|)^2, which
/// is at most twice G_ii + G_jj. 0 where the matrix is exact. `squared_norms`: G_ii of every row.
double relative_error(const Execution& run, const Gram& gram,
                      std::span<const double> squared_norms);

/// The distances a whole matrix gives, which must outlive them.
GramDistances distances_of(const Execution& run, const Gram& gram);
GramDistances estimated_distances_of(const Execution& run, const Gram& gram);

struct Pair {
  std::uint32_t i, j;
  auto operator<=>(const Pair&) const = default;
};
inline Pair ordered(std::uint32_t i, std::uint32_t j) { return {std::min(i, j), std::max(i, j)}; }

/// Pairs worth one pass over the cohort: 24 MiB of host memory.
inline constexpr std::size_t kPairsPerPass = std::size_t{1} << 20;

/// Direct squared distances, the same on every backend; one pass over the cohort.
Result<std::vector<double>> measure_pairs(const Execution& run, std::span<const Pair> pairs);

/// Direct distances, each measured once.
class MeasuredDistances {
 public:
  explicit MeasuredDistances(const Execution& run) : run_(run) {}

  /// Measures those of the pairs (ordered, in any order, repeated or not) that are not known.
  Status require(std::vector<Pair> pairs);
  /// Of a pair that was required.
  double of(std::uint32_t i, std::uint32_t j) const;
  std::size_t pairs_measured() const { return known_.size(); }

 private:
  static std::uint64_t key(Pair pair) { return std::uint64_t{pair.i} << 32 | pair.j; }

  const Execution& run_;
  std::unordered_map<std::uint64_t, double> known_;
};

/// All n x n, the same on every backend: from an exact Gram matrix, else measured.
Result<std::vector<double>> all_distances(const Execution& run);

}  // namespace muster::robust
