#include "privacy/discrete.h"

#include <cmath>

#include "base/check.h"

namespace muster::privacy {
namespace {

constexpr double kMargin = 1e-12;

}  // namespace

Closeness discrete_closeness(double draws, int m) {
  MUSTER_CHECK_OP(m, >=, 4);
  const double unit = 24 * std::ldexp(1.0, 2 * m);
  const double down = draws / unit;
  const double up = 1.1 * (draws + 2 * std::sqrt(draws * kDiscreteTail) + 2 * kDiscreteTail) / unit;
  return {(down + up) * (1 + kMargin), std::exp(-kDiscreteTail) * (1 + kMargin)};
}

double continuous_delta(const Closeness& closeness, double delta, double epsilon_bound) {
  // `shift` stands for the smaller a as well.
  const double lost = std::exp(epsilon_bound + 2 * closeness.shift) * closeness.tail;
  return (delta - lost) * std::exp(-closeness.shift) * (1 - kMargin);
}

double sampler_delta(double draws, double total_variation, double epsilon) {
  return draws * total_variation * (1 + std::exp(epsilon)) * (1 + kMargin);
}

}  // namespace muster::privacy
