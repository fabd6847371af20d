// Empirical lower bounds on epsilon from how well an attacker tells two worlds apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace muster::privacy {

/// P(Binomial(n, p) <= k).
inline double binomial_cdf(std::size_t k, std::size_t n, double p) {
  if (k >= n) return 1;
  double sum = 0;
  for (std::size_t i = 0; i <= k; ++i)
    sum += std::exp(
        std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(i) + 1) -
        std::lgamma(static_cast<double>(n - i) + 1) + static_cast<double>(i) * std::log(p) +
        static_cast<double>(n - i) * std::log1p(-p));
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

struct Guesses {
  std::size_t runs = 0;         ///< in each world
  std::size_t false_in = 0;     ///< said "in" where the canary was out
  std::size_t missed = 0;       ///< said "out" where it was in
  double epsilon_at_least = 0;  ///< holds with the confidence asked for
};

/// Any (epsilon, delta) test obeys 1 - missed <= e^epsilon false_in + delta and the same with the
/// worlds exchanged (Kairouz, Oh and Viswanath 2015). Both rates are bounded from above, each with
/// half of what may go wrong.
inline Guesses judge_guesses(std::size_t false_in, std::size_t missed, std::size_t runs,
                             double delta, double confidence) {
  Guesses guesses{runs, false_in, missed, 0};
  const double miss = (1 - confidence) / 2;
  const double in = rate_at_most(false_in, runs, miss), out = rate_at_most(missed, runs, miss);
  for (const auto& [a, b] : {std::pair(in, out), std::pair(out, in)})
    if (1 - delta - b > 0)
      guesses.epsilon_at_least = std::max(guesses.epsilon_at_least, std::log((1 - delta - b) / a));
  return guesses;
}

/// The threshold of the best bound on these runs; not to be judged on the same ones.
inline double best_threshold(std::span<const double> with, std::span<const double> without,
                             double delta, double confidence) {
  std::vector<double> candidates(with.begin(), with.end());
  candidates.insert(candidates.end(), without.begin(), without.end());
  std::sort(candidates.begin(), candidates.end());
  double best = candidates.front(), bound = -1;
  for (std::size_t i = 0; i + 1 < candidates.size(); ++i) {
    const double threshold = (candidates[i] + candidates[i + 1]) / 2;
    const auto above = [&](double x) { return x > threshold; };
    const auto false_in = std::count_if(without.begin(), without.end(), above);
    const auto missed = std::count_if(with.begin(), with.end(), std::not_fn(above));
    const double epsilon =
        judge_guesses(static_cast<std::size_t>(false_in), static_cast<std::size_t>(missed),
                      with.size(), delta, confidence)
            .epsilon_at_least;
    // Of a stretch of equally good ones the middle would be best; the first gap that improves is
    // the widest where two worlds part.
    if (epsilon > bound) bound = epsilon, best = threshold;
  }
  return best;
}

/// What the attacker's statistic says on fresh runs with that threshold.
inline Guesses guess(std::span<const double> with, std::span<const double> without,
                     double threshold, double delta, double confidence) {
  std::size_t false_in = 0, missed = 0;
  for (const double x : without) false_in += x > threshold;
  for (const double x : with) missed += x <= threshold;
  return judge_guesses(false_in, missed, with.size(), delta, confidence);
}

}  // namespace muster::privacy
