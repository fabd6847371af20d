#include "privacy/accountant_gaussian.h"

#include <cmath>
#include <limits>

#include "privacy/normal.h"

namespace muster::privacy {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Share of the greater term that covers all rounding of gaussian_delta().
constexpr double kMargin = 1e-12;
/// Halvings after which a bisection over doubles cannot move.
constexpr int kHalvings = 200;

/// The bound of one order: rho alpha + ln(1 - 1/alpha) - ln(delta alpha) / (alpha - 1).
double zcdp_at(double rho, double delta, double alpha) {
  return rho * alpha + std::log1p(-1 / alpha) - std::log(delta * alpha) / (alpha - 1);
}

}  // namespace

double gaussian_delta(double mu, double epsilon) {
  if (mu == 0) return 0;
  if (mu == kInfinity) return 1;
  const double first = std::exp(log_normal_cdf(mu / 2 - epsilon / mu));
  const double second = std::exp(epsilon + log_normal_cdf(-mu / 2 - epsilon / mu));
  return std::fmin(1, std::fmax(0, first - second) + kMargin * first);
}

double gaussian_epsilon(double mu, double delta) {
  if (mu == kInfinity) return kInfinity;
  if (gaussian_delta(mu, 0) <= delta) return 0;
  double low = 0, high = 1;
  while (gaussian_delta(mu, high) > delta) high *= 2;
  for (int i = 0; i < kHalvings && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (gaussian_delta(mu, middle) > delta ? low : high) = middle;
  }
  return high;
}

double gaussian_mu(double epsilon, double delta) {
  double low = 0, high = 1;
  while (gaussian_delta(high, epsilon) <= delta) high *= 2;
  for (int i = 0; i < kHalvings && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (gaussian_delta(middle, epsilon) <= delta ? low : high) = middle;
  }
  return low;
}

double zcdp_epsilon(double rho, double delta) {
  if (rho == 0) return 0;
  // The bound is quasiconvex in alpha; any alpha gives a valid value, so the search may be coarse.
  double low = std::log(1e-2), high = std::log(1e7);  // of alpha - 1
  for (int i = 0; i < kHalvings; ++i) {
    const double a = low + (high - low) / 3, b = high - (high - low) / 3;
    const bool falling =
        zcdp_at(rho, delta, 1 + std::exp(a)) > zcdp_at(rho, delta, 1 + std::exp(b));
    (falling ? low : high) = falling ? a : b;
  }
  const double epsilon = zcdp_at(rho, delta, 1 + std::exp(high));
  return std::fmax(0, epsilon * (1 + kMargin));
}

double zcdp_epsilon_loose(double rho, double delta) {
  return (rho + 2 * std::sqrt(rho * -std::log(delta))) * (1 + kMargin);
}

}  // namespace muster::privacy
