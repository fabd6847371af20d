// The Gaussian mechanism, exactly (Balle and Wang 2018, theorem 8). One number says it all:
// mu = sensitivity / noise standard deviation. Adaptive compositions of Gaussian mechanisms are one
// with mu^2 = sum mu_i^2, and so is any correlated noise with its own sensitivity.
//
// Every value is rounded up: floating-point error is below 1e-12 of the greater of the two
// probabilities that are subtracted, and that much is added.
#pragma once

namespace muster::privacy {

/// The least delta for which (epsilon, delta) holds; mu >= 0, epsilon >= 0.
double gaussian_delta(double mu, double epsilon);
/// The least epsilon for which (epsilon, delta) holds; 0 < delta < 1. Infinite where mu is.
double gaussian_epsilon(double mu, double delta);
/// The greatest mu for which (epsilon, delta) holds; epsilon > 0, 0 < delta < 1. Rounded down.
double gaussian_mu(double epsilon, double delta);

/// What zero-concentrated privacy alone gives (Bun and Steinke 2016, proposition 1.3), by the
/// better conversion of Canonne, Kamath and Steinke 2020 over all orders. Holds for any rho-zCDP
/// mechanism.
double zcdp_epsilon(double rho, double delta);
/// rho + 2 sqrt(rho ln(1 / delta)): the loose form older papers print.
double zcdp_epsilon_loose(double rho, double delta);

}  // namespace muster::privacy
