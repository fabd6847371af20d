#include "privacy/accountant_rdp.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "privacy/normal.h"

namespace muster::privacy {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMargin = 1e-9;
/// Terms of the series of a fractional order before the order is given up.
constexpr int kMaxTerms = 1000;
/// Orders above this use the plain bound of theorem 27, whose cost is linear.
constexpr int kTernaryOrders = 256;

std::vector<double> make_orders() {
  std::vector<double> orders;
  for (int tenths = 11; tenths <= 109; ++tenths) orders.push_back(tenths / 10.0);
  for (int alpha = 11; alpha <= 63; ++alpha) orders.push_back(alpha);
  for (const int alpha : {128, 256, 512, 1024}) orders.push_back(alpha);
  return orders;
}

/// ln C(n, k) for real n and integer k. std::lgamma writes a global sign: not used.
double log_choose(double n, double k) {
  int sign = 0;
  return ::lgamma_r(n + 1, &sign) - ::lgamma_r(k + 1, &sign) - ::lgamma_r(n - k + 1, &sign);
}

/// ln sum_i C(alpha, i) (1 - q)^(alpha - i) q^i e^((i^2 - i) / (2 z^2)).
double log_moment_integer(double q, double z, int alpha) {
  double sum = -kInfinity;
  for (int i = 0; i <= alpha; ++i)
    sum = log_add(sum, log_choose(alpha, i) + i * std::log(q) + (alpha - i) * std::log1p(-q) +
                           (static_cast<double>(i) * i - i) / (2 * z * z));
  return sum;
}

/// Section 3.3 of Mironov, Talwar and Zhang. C(alpha, i) alternates in sign past alpha; adding
/// magnitudes keeps the sum an upper bound.
double log_moment_fractional(double q, double z, double alpha) {
  const double turn = z * z * std::log(1 / q - 1) + 0.5;
  const double scale = std::numbers::sqrt2 * z;
  double sum = -kInfinity, last_low = -kInfinity, last_high = -kInfinity;
  for (int i = 0; i < kMaxTerms; ++i) {
    const double j = alpha - i;
    const double choose = log_choose(alpha, i);
    const double low = choose + i * std::log(q) + j * std::log1p(-q) +
                       (static_cast<double>(i) * i - i) / (2 * z * z) + std::log(0.5) +
                       log_erfc((i - turn) / scale);
    const double high = choose + j * std::log(q) + i * std::log1p(-q) + (j * j - j) / (2 * z * z) +
                        std::log(0.5) + log_erfc((turn - j) / scale);
    sum = log_add(sum, log_add(low, high));
    if (low < last_low && high < last_high && std::max(low, high) < sum - 30) return sum;
    last_low = low;
    last_high = high;
  }
  return kInfinity;
}

/// ln E_q[(p/q - 1)^n], n even: ln(p/q) is N(-1/(2 z^2), 1/z^2) under q. The integrand is smooth,
/// so the trapezoid rule converges faster than any power of its step.
double log_even_moment(double z, int n) {
  constexpr double kStep = 0.1;
  const double s = 1 / z;
  // A large power leans on the tail: by n s where e^x rules, by sqrt n where e^x - 1 is about x.
  const double reach = 14 + std::sqrt(n);
  double sum = -kInfinity;
  for (double t = -reach; t <= n * s + reach; t += kStep) {
    const double magnitude = std::fabs(std::expm1(s * (t - 0.5 * s)));
    if (magnitude > 0) sum = log_add(sum, n * std::log(magnitude) - t * t / 2);
  }
  return sum + std::log(kStep) - 0.5 * std::log(2 * std::numbers::pi);
}

/// ln of theorem 27's bound on E[(p/q)^alpha] for integer alpha >= 1; `moments[i]` is
/// log_even_moment() of order 2 i.
double log_moment_fixed_size(double q, double z, int alpha, std::span<const double> moments) {
  const double unit = 1 / (2 * z * z);
  double sum = 0;
  for (int i = 2; i <= alpha; ++i) {
    double term = std::log(2.0) + unit * i * (i - 1.0);
    if (i == 2) {
      term = std::min(term, std::log(4.0) + 2 * unit + std::log(-std::expm1(-2 * unit)));
    } else if (alpha <= kTernaryOrders) {
      const auto below = static_cast<std::size_t>(i / 2), above = below + (i % 2);
      term = std::min(term, std::log(4.0) + 0.5 * (moments[below] + moments[above]));
    }
    sum = log_add(sum, term + i * std::log(q) + log_choose(alpha, i));
  }
  return sum;
}

}  // namespace

std::span<const double> rdp_orders() {
  static const std::vector<double> orders = make_orders();
  return orders;
}

double rdp_gaussian(double noise_multiplier, double alpha) {
  return alpha / (2 * noise_multiplier * noise_multiplier);
}

double rdp_poisson(double q, double noise_multiplier, double alpha) {
  if (q == 0) return 0;
  if (q == 1) return rdp_gaussian(noise_multiplier, alpha);
  const bool integer = alpha == std::floor(alpha);
  const double log_moment = integer
                                ? log_moment_integer(q, noise_multiplier, static_cast<int>(alpha))
                                : log_moment_fractional(q, noise_multiplier, alpha);
  return std::max(0.0, log_moment) / (alpha - 1) * (1 + kMargin);
}

std::vector<double> rdp_fixed_size(double q, double noise_multiplier,
                                   std::span<const double> orders) {
  std::vector<double> moments = {0};
  if (q > 0 && q < 1)
    for (int n = 2; n <= kTernaryOrders + 2; n += 2)
      moments.push_back(log_even_moment(noise_multiplier, n));
  const auto log_moment = [&](int alpha) {
    return alpha == 1 ? 0 : log_moment_fixed_size(q, noise_multiplier, alpha, moments);
  };
  std::vector<double> curve;
  for (const double alpha : orders) {
    if (q == 0 || q == 1) {
      curve.push_back(q * rdp_gaussian(noise_multiplier, alpha));
      continue;
    }
    // (alpha - 1) R is convex in alpha (corollary 10), so between integers a chord bounds it.
    const int below = static_cast<int>(std::floor(alpha));
    const double share = alpha - below;
    double bound = log_moment(below);
    if (share > 0) bound = (1 - share) * bound + share * log_moment(below + 1);
    curve.push_back(bound / (alpha - 1) * (1 + kMargin));
  }
  return curve;
}

double rdp_epsilon(std::span<const double> orders, std::span<const double> curve, double delta) {
  double best = kInfinity;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const double alpha = orders[i], r = curve[i];
    if (delta * delta + std::expm1(-r) > 0) return 0;
    const double epsilon = r + std::log1p(-1 / alpha) - std::log(delta * alpha) / (alpha - 1);
    best = std::min(best, epsilon);
  }
  return std::max(0.0, best * (1 + kMargin));
}

double rdp_epsilon_old(std::span<const double> orders, std::span<const double> curve,
                       double delta) {
  double best = kInfinity;
  for (std::size_t i = 0; i < orders.size(); ++i)
    best = std::min(best, curve[i] - std::log(delta) / (orders[i] - 1));
  return std::max(0.0, best);
}

}  // namespace muster::privacy
