// Noise that is correlated over rounds (algorithms 7.7, 7.8): tree aggregation and the buffered
// linear Toeplitz mechanism (BLT). Each is one Gaussian mechanism over the whole run; what it costs
// is its sensitivity, in units of C, under a stated limit on how often and how close one device
// takes part.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace muster::privacy {

/// One device takes part at most `participations` times, and two of its rounds are at least
/// `separation` apart (rounds i and j with j - i >= separation; 1: any two rounds). The tree
/// accountants' "xi rounds strictly between" is separation - 1.
struct Participation {
  std::uint32_t participations = 1;
  std::uint32_t separation = 1;
};

/// The most rounds one device can have been in after `rounds` rounds.
std::uint32_t participations_possible(const Participation& limit, std::uint64_t rounds);

/// Greatest sum over tree nodes of (participations below the node)^2 after `rounds` rounds of one
/// tree that is never restarted: its squared sensitivity. Exact, by dynamic programming.
/// kInvalid / "tree_too_large" where that would take too long (small separation, many rounds).
Result<std::uint64_t> tree_sensitivity_squared(const Participation& limit, std::uint64_t rounds);
/// The same for a tree restarted after each of `epochs` epochs of `steps` rounds, one participation
/// an epoch: sum of floor(log2 steps) + 1.
std::uint64_t restarted_tree_sensitivity_squared(std::uint64_t epochs, std::uint64_t steps);

/// c_0 = 1, c_j = sum_i omega_i theta_i^(j - 1); the noise of round t is (C^-1 Z)_t.
struct Blt {
  std::vector<double> theta;
  std::vector<double> omega;
};
/// What tasks use: two buffers, optimised for 1e5 rounds (algorithms 7.8).
const Blt& usual_blt();
/// theta distinct in (0, 1), omega > 0, as many of each: "blt_invalid" otherwise.
Status check(const Blt& blt);
std::vector<double> blt_coefficients(const Blt& blt, std::uint64_t rounds);
/// Coefficients of C^-1: round t's noise is sum_j inverse_j z_(t-j).
std::vector<double> blt_inverse(const Blt& blt, std::uint64_t rounds);

/// Squared sensitivity of a Toeplitz mechanism with first column `coefficients` (1 first): of its
/// reverse cumulative maximum, which bounds it and is exact for columns that fall. Rounded up.
double toeplitz_sensitivity_squared(std::vector<double> coefficients, const Participation& limit);
/// Largest noise variance of a prefix sum per unit of z^2 C^2 (the last prefix's).
double toeplitz_max_error_squared(const std::vector<double>& inverse);
/// 1, 1/2, 3/8, 5/16, ...: the column of least error times sensitivity for one participation.
std::vector<double> optimal_toeplitz(std::uint64_t rounds);

}  // namespace muster::privacy
