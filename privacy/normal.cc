#include "privacy/normal.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace muster::privacy {
namespace {

constexpr double kRootTwo = std::numbers::sqrt2;
/// erfc is a normal double below this; beyond, its asymptotic series has an error below 1e-15.
constexpr double kSeriesFrom = 25;
/// Width times distance from which an interval is a difference of tails, not a midpoint series.
constexpr double kNarrow = 0.02;

}  // namespace

double log_add(double a, double b) {
  if (a < b) return log_add(b, a);
  if (b == -std::numeric_limits<double>::infinity()) return a;
  return a + std::log1p(std::exp(b - a));
}

double log_subtract(double a, double b) {
  if (b == -std::numeric_limits<double>::infinity()) return a;
  return a + std::log(-std::expm1(b - a));
}

double log_erfc(double x) {
  if (x < kSeriesFrom) return std::log(std::erfc(x));
  const double r = 1 / (x * x);
  const double series = 1 - r / 2 * (1 - 3 * r / 2 * (1 - 5 * r / 2 * (1 - 7 * r / 2)));
  return -x * x - std::log(x) - 0.5 * std::log(std::numbers::pi) + std::log(series);
}

double log_normal_cdf(double x) { return std::log(0.5) + log_erfc(-x / kRootTwo); }

double normal_interval(double low, double high) {
  if (high < 0) return normal_interval(-high, -low);
  const double width = high - low;
  const double middle = low + width / 2;
  if (width * std::fmax(1, std::fabs(middle)) < kNarrow) {
    // phi(middle) width (1 + w^2 He2 / 24 + w^4 He4 / 1920); the next term is below 1e-15.
    const double m2 = middle * middle, w2 = width * width;
    const double density = std::exp(-m2 / 2) / std::sqrt(2 * std::numbers::pi);
    return density * width * (1 + w2 * ((m2 - 1) / 24 + w2 * (m2 * m2 - 6 * m2 + 3) / 1920));
  }
  if (low > 0) return 0.5 * (std::erfc(low / kRootTwo) - std::erfc(high / kRootTwo));
  return 0.5 * (std::erf(high / kRootTwo) - std::erf(low / kRootTwo));
}

}  // namespace muster::privacy
