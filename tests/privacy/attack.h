// What an attacker who tells two worlds apart shows about the privacy of a mechanism: empirical
// lower bounds. An attack guesses from one number, that is near 0 where a canary was out and near 1
// where it was in, by thresholds that are fixed before the first run: no run is spent on learning.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "privacy/accountant_gaussian.h"
#include "privacy/normal.h"

namespace muster::privacy {

/// P(Binomial(n, p) <= k), 0 < p < 1: from the greatest term on, until the rest does not count.
inline double binomial_cdf(std::size_t k, std::size_t n, double p) {
  if (k >= n) return 1;
  const auto count = static_cast<double>(n);
  const double start = std::min(static_cast<double>(k), std::floor((count + 1) * p));
  const double greatest =
      std::exp(std::lgamma(count + 1) - std::lgamma(start + 1) - std::lgamma(count - start + 1) +
               start * std::log(p) + (count - start) * std::log1p(-p));
  const double odds = p / (1 - p);
  double sum = 0;
  for (double i = start, term = greatest; i >= 0 && term > sum * 1e-17; --i) {
    sum += term;
    term *= i / (count - i + 1) / odds;
  }
  double term = greatest;
  for (double i = start + 1; i <= static_cast<double>(k) && term > sum * 1e-17; ++i) {
    term *= (count - i + 1) / i * odds;
    sum += term;
  }
  return sum;
}

/// Clopper and Pearson: the greatest rate at which k errors or fewer of n still have probability
/// `miss`.
inline double rate_at_most(std::size_t k, std::size_t n, double miss) {
  if (k >= n) return 1;
  double low = 0, high = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (binomial_cdf(k, n, middle) > miss ? low : high) = middle;
  }
  return high;
}

/// The x with P(N(0, 1) <= x) = p, for 0 < p < 1.
inline double normal_quantile(double p) {
  double low = -40, high = 40;
  for (int i = 0; i < 80; ++i) {
    const double middle = (low + high) / 2;
    (log_normal_cdf(middle) < std::log(p) ? low : high) = middle;
  }
  return low;
}

/// What one threshold said: "in" above it.
struct Guesses {
  double threshold = 0;
  std::size_t runs = 0;      ///< in each world
  std::size_t false_in = 0;  ///< said "in" where the canary was out
  std::size_t missed = 0;    ///< said "out" where it was in
};

inline Guesses guess(std::span<const double> with, std::span<const double> without,
                     double threshold) {
  Guesses guesses{threshold, with.size(), 0, 0};
  for (const double x : without) guesses.false_in += x > threshold;
  for (const double x : with) guesses.missed += x <= threshold;
  return guesses;
}

/// Lower bounds that hold with the confidence asked for, all of them together.
struct Shown {
  /// Of any mechanism: an (epsilon, delta) test obeys 1 - missed <= e^epsilon false_in + delta, and
  /// the same with the worlds exchanged (Kairouz, Oh and Viswanath 2015).
  double epsilon = 0;
  /// Of a Gaussian mechanism, sensitivity over deviation: its tests obey
  /// quantile(1 - false_in) - quantile(missed) <= mu (Dong, Roth and Su 2022). Few runs do, for no
  /// rate has to be near 0; and what is claimed of a release is that it is one, of mu = 1 / z.
  double mu = 0;

  Shown best(const Shown& other) const {
    return {std::max(epsilon, other.epsilon), std::max(mu, other.mu)};
  }
};

/// `miss`: the probability with which each of the two rates may lie above its bound.
inline Shown shown_by(const Guesses& guesses, double delta, double miss) {
  Shown shown;
  const double in = rate_at_most(guesses.false_in, guesses.runs, miss);
  const double out = rate_at_most(guesses.missed, guesses.runs, miss);
  for (const auto& [a, b] : {std::pair(in, out), std::pair(out, in)})
    if (1 - delta - b > 0) shown.epsilon = std::max(shown.epsilon, std::log((1 - delta - b) / a));
  if (in < 1 && out < 1) shown.mu = std::max(0.0, normal_quantile(1 - in) - normal_quantile(out));
  return shown;
}

/// The threshold of the greatest epsilon that `runs` in each world can be expected to show of a
/// Gaussian mechanism: the worlds are N(0, 1/mu^2) and N(1, 1/mu^2). Far out, where the ratio of
/// the rates is large and they can still be counted.
inline double tail_threshold(double mu, std::size_t runs, double delta, double miss) {
  double best = 0.5, most = -1;
  const auto n = static_cast<double>(runs);
  for (double x = -1; x < 5; x += 0.05) {  // in deviations
    const Guesses expected{
        x / mu, runs, static_cast<std::size_t>(std::lround(n * std::exp(log_normal_cdf(-x)))),
        static_cast<std::size_t>(std::lround(n * std::exp(log_normal_cdf(x - mu))))};
    const double epsilon = shown_by(expected, delta, miss).epsilon;
    if (epsilon > most) most = epsilon, best = expected.threshold;
  }
  return best;
}

/// The whole attack on a release that claims mu = 1 / z: halfway between the worlds, and in the
/// tail. Four rates are bounded, each with a quarter of what may go wrong.
class Attack {
 public:
  Attack(double mu, std::size_t runs, double delta, double confidence = 0.95)
      : mu_(mu),
        delta_(delta),
        miss_((1 - confidence) / 4),
        tail_(tail_threshold(mu, runs, delta, miss_)) {}

  Shown shows(std::span<const double> with, std::span<const double> without) const {
    return shown_by(guess(with, without, kHalfway), delta_, miss_)
        .best(shown_by(guess(with, without, tail_), delta_, miss_));
  }
  /// A sentence for a reader.
  std::string say(std::span<const double> with, std::span<const double> without) const {
    const Shown shown = shows(with, without);
    const Guesses middle = guess(with, without, kHalfway), tail = guess(with, without, tail_);
    const auto rates = [](const Guesses& g) {
      return std::to_string(g.false_in) + " false and " + std::to_string(g.missed) + " missed";
    };
    return "of " + std::to_string(middle.runs) + " in each world " + rates(middle) + " at 0.5, " +
           rates(tail) + " at " + std::to_string(tail_) + ": epsilon is at least " +
           std::to_string(shown.epsilon) + ", of a Gaussian mechanism " +
           std::to_string(gaussian_epsilon(shown.mu, delta_)) + " (mu " + std::to_string(shown.mu) +
           " of " + std::to_string(mu_) + " claimed)";
  }

 private:
  static constexpr double kHalfway = 0.5;
  double mu_, delta_, miss_, tail_;
};

/// Who is who where each canary needs `trim` helpers: devices that hold the whole bound in its
/// direction in both worlds. A rule that leaves out the `trim` greatest values of a coordinate
/// leaves out theirs, and the canary moves the sum by all that one device may (lemma L1).
struct Roles {
  std::uint32_t trim = 0;
  std::uint32_t canaries(std::uint32_t devices) const { return devices / (trim + 1); }
  std::uint32_t canary_of(std::uint32_t device) const { return device / (trim + 1); }
  bool is_canary(std::uint32_t device) const { return device % (trim + 1) == 0; }
};

/// Which canaries are in, run by run: coins, and in every second run the opposite of those before.
/// The noise of coordinates is independent: canaries in directions of their own are as many runs.
class Worlds {
 public:
  explicit Worlds(std::uint64_t seed) : random_(seed) {}
  std::vector<bool> next(std::uint32_t canaries) {
    if (!(second_ = !second_)) {
      last_.flip();
      return last_;
    }
    last_.resize(canaries);
    for (std::uint32_t c = 0; c < canaries; ++c) last_[c] = random_() % 2 == 1;
    return last_;
  }

 private:
  std::mt19937_64 random_;
  std::vector<bool> last_;
  bool second_ = false;
};

/// Numbers of both worlds, of all canaries and runs.
struct Observed {
  std::vector<double> with, without;
  void add(double statistic, bool in) { (in ? with : without).push_back(statistic); }
};

}  // namespace muster::privacy
