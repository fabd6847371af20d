// The normal distribution and sums in log space, accurate far into the tails. All in double; the
// relative errors stated here are what the accountants' margins are made of.
#pragma once

namespace muster::privacy {

/// ln(e^a + e^b); either may be -infinity.
double log_add(double a, double b);
/// ln(e^a - e^b) for a >= b; -infinity where they are equal.
double log_subtract(double a, double b);
/// ln erfc(x), relative error of erfc below 1e-14 for any x.
double log_erfc(double x);
/// ln P(N(0, 1) <= x), relative error of the probability below 1e-13 for |x| < 1e3.
double log_normal_cdf(double x);
/// P(low < N(0, 1) <= high) for low <= high (either may be infinite), relative error below 1e-11
/// wherever the result is at least 1e-300: narrow intervals do not cancel.
double normal_interval(double low, double high);

}  // namespace muster::privacy
