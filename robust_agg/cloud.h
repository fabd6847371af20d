// Rows as a distance rule sees them, and what pre-steps make of them: everything that distances and
// norms alone decide; inside this room only. Rows are in rank order, so that the lower index wins
// every tie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace muster::robust {

struct Cloud {
  std::uint32_t n = 0;
  std::vector<double> distances;      ///< n x n, squared; symmetric, 0 on the diagonal
  std::vector<double> squared_norms;  ///< n: squared distances from the origin, wherever that is

  double distance(std::uint32_t i, std::uint32_t j) const {
    return distances[std::size_t{i} * n + j];
  }
};

/// Rows made of rows: row r is the mean of members [bounds[r], bounds[r + 1]), ascending.
struct Mixing {
  std::vector<std::uint32_t> bounds = {0};
  std::vector<std::uint32_t> members;

  std::uint32_t n() const { return static_cast<std::uint32_t>(bounds.size() - 1); }
  std::span<const std::uint32_t> row(std::uint32_t r) const {
    return std::span(members).subspan(bounds[r], bounds[r + 1] - bounds[r]);
  }
  void add(std::span<const std::uint32_t> row);
};

/// Rows in their order, `size` at a time; the last one may be short.
Mixing buckets(std::uint32_t n, std::uint32_t size);
/// Each row with its n - f - 1 nearest others.
Mixing nearest_neighbours(const Cloud& cloud, std::uint32_t f);

/// The cloud of the rows times their factors; of the mixed rows. Integers stay integers, so that
/// equal distances stay equal: the first below 2^53 for factors of 1, the second for means of
/// equally many.
Cloud scaled(Cloud cloud, std::span<const double> factors);
Cloud mixed(const Cloud& cloud, const Mixing& mixing);

/// What coefficients of mixed rows mean for the n rows they were made of.
std::vector<double> unmixed(const Mixing& mixing, std::span<const double> coefficients,
                            std::uint32_t n);

/// By what each row is multiplied when the floor(2 f (n - f) / n) longest are clipped to the
/// longest of the others.
std::vector<double> adaptive_factors(std::span<const double> squared_norms, std::uint32_t f);
/// By what a norm is multiplied to be at most `bound`; 1 for a norm of 0.
double clip_factor(double norm, double bound);

}  // namespace muster::robust
