#include "privacy/correlated_noise.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace muster::privacy {

std::vector<std::uint64_t> tree_nodes(std::uint64_t t) {
  std::vector<std::uint64_t> nodes;
  for (; t != 0; t &= t - 1) nodes.push_back(t);
  return nodes;
}

std::vector<std::uint64_t> tree_nodes_dropped(std::uint64_t t) {
  MUSTER_CHECK_OP(t, >=, 1u);
  // Adding one clears the trailing ones: the nodes those stood for.
  std::vector<std::uint64_t> nodes = tree_nodes(t - 1);
  nodes.resize(static_cast<std::size_t>(std::countr_zero(t)));
  return nodes;
}

BltFilter::BltFilter(Blt blt, std::size_t dimension)
    : blt_(std::move(blt)), dimension_(dimension), buffers_(blt_.theta.size() * dimension) {
  MUSTER_CHECK(check(blt_).ok());
}

void BltFilter::next(std::span<std::int64_t> noise) {
  MUSTER_CHECK_OP(noise.size(), ==, dimension_);
  for (std::size_t k = 0; k < dimension_; ++k) {
    double memory = 0;
    for (std::size_t i = 0; i < blt_.omega.size(); ++i)
      memory += blt_.omega[i] * buffers_[i * dimension_ + k];
    noise[k] -= static_cast<std::int64_t>(std::nearbyint(memory));
    for (std::size_t i = 0; i < blt_.theta.size(); ++i) {
      double& buffer = buffers_[i * dimension_ + k];
      buffer = blt_.theta[i] * buffer + static_cast<double>(noise[k]);
    }
  }
}

void BltFilter::restore(std::span<const double> state) {
  MUSTER_CHECK_OP(state.size(), ==, buffers_.size());
  std::copy(state.begin(), state.end(), buffers_.begin());
}

double blt_rounding_units(const Blt& blt, int log2_sigma, std::uint64_t dimension,
                          std::uint64_t rounds) {
  // |z| < 2^(m + 4); x is the inverse filter of z, its rounding aside (1.01); a buffer sums x with
  // weights theta^j. A round adds two roundings to a buffer, which fade as its contents do.
  double gain = 0;
  for (const double c : blt_inverse(blt, rounds)) gain += std::abs(c);
  const double most = 1.01 * gain * std::ldexp(1.0, log2_sigma + 4);
  double error = 0;
  for (std::size_t i = 0; i < blt.theta.size(); ++i) {
    const double fading = 1 - blt.theta[i], buffer = most / fading;
    error += blt.omega[i] * buffer *
             (0x1p-52 / fading + static_cast<double>(blt.theta.size() + 1) * 0x1p-53);
  }
  return 1.01 * (1 + 2 * error) *
         std::sqrt(static_cast<double>(dimension) * static_cast<double>(rounds));
}

double blt_multiplier(double z, double units, const Blt& blt, int log2_sigma,
                      std::uint64_t dimension, std::uint64_t rounds) {
  return z * (units / (units + blt_rounding_units(blt, log2_sigma, dimension, rounds)));
}

}  // namespace muster::privacy
