// From the continuous Gaussian, which the accountants know, to the discrete one on the grid, which
// is what is drawn (algorithms 7.9), and to samplers that are not exact.
//
// Lemma. Let P be n independent draws of the discrete Gaussian of parameter s >= 16 on the
// integers, and R as many continuous ones rounded to the nearest integer. Pointwise
//   ln(P / R) <= n / (24 s^2)                       (Jensen: E_u exp(-(2ku + u^2) / 2s^2) >= ...)
//   ln(R / P) <= sum k_i^2 / (24 s^4) + n 2e^(-2 pi^2 s^2)          (sinh(x) / x <= e^(x^2 / 6))
// and under R the last sum is below 1.1 (n + 2 sqrt(n t) + 2t) / (24 s^2) but with probability e^-t
// (Laurent and Massart 2000). Sums are integers, so adding R to one is rounding the continuous
// mechanism: post-processing. A run is a function of its draws and of coins that do not depend on
// them. So where the continuous run is (e, d)-private, the discrete one is
//   (e + a + b, e^a d + e^(e + 2a + b) e^-t), a and b the two bounds above.
// With a standard deviation of 2^m and m >= 10 + log2 N the difference is too small to print.
#pragma once

#include <cstdint>

namespace muster::privacy {

/// t: the noise is longer than the lemma allows with probability e^-t = 1e-87.
inline constexpr double kDiscreteTail = 200;

/// How far a run with `draws` discrete Gaussian draws of standard deviation 2^m is from the
/// continuous one.
struct Closeness {
  double shift = 0;  ///< a + b: added to epsilon
  double tail = 0;   ///< e^-t
};

/// m >= 4.
Closeness discrete_closeness(double draws, int m);

/// The delta to ask the continuous accountant for, so that its epsilon plus `shift` holds at
/// `delta` for the discrete run; `epsilon_bound` is any upper bound on that epsilon. Zero or less:
/// there is none.
double continuous_delta(const Closeness& closeness, double delta, double epsilon_bound);

/// What a sampler within `total_variation` of the true one, a draw, takes from delta over all
/// draws: draws * total_variation * (1 + e^epsilon).
double sampler_delta(double draws, double total_variation, double epsilon);

}  // namespace muster::privacy
