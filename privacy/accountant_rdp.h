// Renyi differential privacy (Mironov 2017): a curve R(alpha), which adds up over rounds.
//
// Values are upper bounds: terms are all positive or bounded by what is left of an alternating
// series, and results are raised by 1e-9 of themselves, far above the rounding of these sums.
#pragma once

#include <span>
#include <vector>

namespace muster::privacy {

/// 1.1 .. 10.9 by .1, 11 .. 63, 128, 256, 512, 1024: the orders of algorithms 7.6.
std::span<const double> rdp_orders();

/// alpha rho: Gaussian, and everything that is rho-zCDP.
double rdp_gaussian(double noise_multiplier, double alpha);
/// A Gaussian behind Poisson sampling with probability q, add/remove or zero-out (Mironov, Talwar
/// and Zhang 2019). Infinite where the series of a fractional order does not settle.
double rdp_poisson(double q, double noise_multiplier, double alpha);
/// A Gaussian on a fixed-size sample, without replacement, a share q of the population; replace-one
/// (Wang, Balle and Kasiviswanathan 2019, theorem 27, with ternary divergences up to order 256).
/// `noise_multiplier` is against the replace-one sensitivity 2C. R at each of `orders`.
std::vector<double> rdp_fixed_size(double q, double noise_multiplier,
                                   std::span<const double> orders);

/// min over orders of R + ln(1 - 1/alpha) - ln(delta alpha) / (alpha - 1) (Canonne, Kamath and
/// Steinke 2020, proposition 12); 0 where delta^2 > 1 - e^-R for some order. `curve` is
/// R at each of `orders`.
double rdp_epsilon(std::span<const double> orders, std::span<const double> curve, double delta);
/// The conversion of older papers: min of R + ln(1 / delta) / (alpha - 1).
double rdp_epsilon_old(std::span<const double> orders, std::span<const double> curve, double delta);

}  // namespace muster::privacy
