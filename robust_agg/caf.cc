// CAF (Allouah et al. 2025): the updates that make the covariance large lose weight. All of it
// happens in the n x n centred Gram matrix; one pass for that, one to combine. Every f64 sum here
// is in the order of the ranks, so that neither arrival nor position matters.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "robust_agg/distances.h"

namespace muster::robust {
namespace {

/// The power iteration ends when no component moves by more, or after so many products.
constexpr double kTolerance = 1e-10;
constexpr int kMaxProducts = 1000;

/// Row-major, n x n.
class Square {
 public:
  explicit Square(std::size_t n) : n_(n), values_(n * n) {}
  double* operator[](std::size_t i) { return values_.data() + i * n_; }
  const double* operator[](std::size_t i) const { return values_.data() + i * n_; }
  std::size_t n() const { return n_; }

 private:
  std::size_t n_;
  std::vector<double> values_;
};

double dot(const double* a, const double* b, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// A symmetric matrix times a vector. Row by row, so that entries of the result lie side by side.
std::vector<double> product(const Square& matrix, const std::vector<double>& vector) {
  const std::size_t n = matrix.n();
  std::vector<double> result(n);
  double* __restrict sums = result.data();
  for (std::size_t j = 0; j < n; ++j) {
    const double* __restrict row = matrix[j];
    const double factor = vector[j];
    for (std::size_t i = 0; i < n; ++i) sums[i] += factor * row[i];
  }
  return result;
}

void scale_each(std::vector<double>& vector, const std::vector<double>& factors) {
  for (std::size_t i = 0; i < vector.size(); ++i) vector[i] *= factors[i];
}

/// A number in [-1, 1) that looks random and belongs to the rank (splitmix64).
double direction_of(std::uint64_t rank) {
  std::uint64_t z = rank + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return static_cast<double>(static_cast<std::int64_t>(z ^ (z >> 31))) * 0x1p-63;
}

/// To length 1; the length before. A vector of zeros stays.
double normalise(std::vector<double>& vector) {
  const double length = std::sqrt(dot(vector.data(), vector.data(), vector.size()));
  if (length > 0)
    for (double& value : vector) value /= length;
  return length;
}

struct Eigen {
  double value = 0;
  std::vector<double> vector;  ///< of length 1; its sign means nothing
};

/// The greatest eigenvalue of the positive semidefinite matrix with entries roots[i] matrix[i][j]
/// roots[j], and a vector of it.
Eigen greatest_eigen(const Square& matrix, const std::vector<double>& roots,
                     std::vector<double> start) {
  Eigen eigen{0, std::move(start)};
  normalise(eigen.vector);
  for (int products = 0; products < kMaxProducts; ++products) {
    std::vector<double> next = eigen.vector;
    scale_each(next, roots);
    next = product(matrix, next);
    scale_each(next, roots);
    eigen.value = normalise(next);
    if (eigen.value == 0) return eigen;
    double same = 0, opposite = 0;
    for (std::size_t i = 0; i < next.size(); ++i) {
      same = std::max(same, std::abs(next[i] - eigen.vector[i]));
      opposite = std::max(opposite, std::abs(next[i] + eigen.vector[i]));
    }
    eigen.vector = std::move(next);
    if (std::min(same, opposite) <= kTolerance) break;
  }
  return eigen;
}

/// <x_i - mean, x_j - mean> with mean = sum shares[i] x_i, from <x_i, x_j>.
Square centred(const Square& gram, const std::vector<double>& shares) {
  const std::size_t n = gram.n();
  const std::vector<double> to_mean = product(gram, shares);
  const double mean_square = dot(shares.data(), to_mean.data(), n);
  Square result(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      result[i][j] = (gram[i][j] + mean_square) - (to_mean[i] + to_mean[j]);
  return result;
}

struct Filtered {
  std::vector<double> weights;                                ///< in [0, 1]
  double variance = std::numeric_limits<double>::infinity();  ///< along the worst direction
  std::uint32_t steps = 0;
};

/// Weights of the mean at the least greatest variance. Looks at the mean of all rows first, so that
/// f = 0 has an answer too.
Filtered filter(const Square& gram, std::uint32_t f, const std::vector<double>& start) {
  const std::size_t n = gram.n();
  std::vector<double> weights(n, 1.0);
  Filtered best;
  for (std::uint32_t step = 1;; ++step) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    // The first time always; then while more than n - 2f are left.
    if (step > 1 && !(total > static_cast<double>(n - 2 * f))) break;
    std::vector<double> shares(n), roots(n);
    for (std::size_t i = 0; i < n; ++i) {
      shares[i] = weights[i] / total;
      roots[i] = std::sqrt(shares[i]);
    }
    // The covariance sum shares[i] (x_i - mean)(x_i - mean)^T has the eigenvalues of the centred
    // Gram matrix between the roots of the shares, and an eigenvector a of that stands for the
    // direction sum roots[i] a_i (x_i - mean).
    const Square around = centred(gram, shares);
    Eigen eigen = greatest_eigen(around, roots, start);
    best.steps = step;
    if (eigen.value < best.variance) {
      best.variance = eigen.value;
      best.weights = weights;
    }
    scale_each(eigen.vector, roots);
    std::vector<double> scores = product(around, eigen.vector);
    double greatest = 0;  // of those that still weigh, so that each step removes one
    for (std::size_t i = 0; i < n; ++i) {
      scores[i] *= scores[i];
      if (weights[i] > 0) greatest = std::max(greatest, scores[i]);
    }
    if (greatest == 0) break;
    for (std::size_t i = 0; i < n; ++i)
      if (weights[i] > 0) weights[i] *= 1 - scores[i] / greatest;
  }
  return best;
}

/// The Gram matrix of the valid rows in the given order.
Result<Square> gram_in_order(const Execution& run, std::span<const std::uint32_t> order) {
  const std::size_t n = order.size();
  MUSTER_ASSIGN(const Gram whole, gram_of(run));
  Square gram(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) gram[i][j] = whole.matrix.values[order[i] * n + order[j]];
  return gram;
}

}  // namespace

Status filter_by_covariance(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(run.rows.rank(a), a) < std::pair(run.rows.rank(b), b);
  });
  std::vector<double> start;
  for (const std::uint32_t row : order) start.push_back(direction_of(run.rows.rank(row)));
  MUSTER_ASSIGN(const Square gram, gram_in_order(run, order));
  const Filtered filtered = filter(gram, run.f, start);

  const double greatest = *std::max_element(filtered.weights.begin(), filtered.weights.end());
  MUSTER_CHECK(greatest > 0);
  std::vector<double> factors(n);
  outcome.divisor = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    factors[order[i]] = filtered.weights[i] / greatest;
    outcome.divisor += factors[order[i]];
  }
  MUSTER_TRY(add_rows(run, factors));
  const auto left = std::count_if(factors.begin(), factors.end(), [](double c) { return c > 0; });
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(filtered.steps) +
                   " steps, " + std::to_string(left) + " updates keep a weight";
  return {};
}

}  // namespace muster::robust
