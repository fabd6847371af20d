// What a charge costs, as integers that add exactly, rounded up from the accountants' doubles.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "privacy/accountant.h"
#include "privacy/discrete.h"

namespace muster::privacy {

/// One unit of rho, of R(alpha) and of epsilon is 2^-40.
inline constexpr int kUnitBits = 40;
/// The orders a charge keeps of a sampled round's curve. Part of the ledger's format.
inline constexpr std::array<double, 32> kLedgerOrders = {
    1.25, 1.5, 1.75, 2,  2.5, 3,  3.5, 4,  5,  6,  7,  8,  9,   10,  12,  14,
    16,   18,  20,   24, 28,  32, 40,  48, 56, 64, 80, 96, 128, 192, 256, 512};
/// "Not finite at this order": larger than any sum of charges.
inline constexpr std::uint64_t kNoBound = ~std::uint64_t{0};

/// A cost, or a sum of costs. Rounds with Gaussian noise that is not amplified by sampling are in
/// `rho` alone, whose composition is known exactly; sampled ones are in `curve`.
struct Amounts {
  std::uint64_t rho = 0;
  std::array<std::uint64_t, kLedgerOrders.size()> curve = {};
  std::uint64_t shift = 0;     ///< added to epsilon: the noise is discrete (privacy/discrete.h)
  std::uint64_t releases = 0;  ///< each may fail by the tail of discrete.h

  bool operator==(const Amounts&) const = default;
};

/// Sums, saturating at kNoBound.
Amounts operator+(const Amounts& a, const Amounts& b);

/// Upper bound on epsilon for the sum at `delta`: exact Gaussian where nothing was sampled, else
/// Renyi. Infinite where there is none.
double epsilon(const Amounts& spent, double delta);

/// The cost of `schedule`'s first schedule.rounds rounds with noise drawn on a grid where its
/// standard deviation is 2^m, `dimension` draws a round.
Result<Amounts> cost(const Schedule& schedule, std::uint64_t dimension, int m);
/// What round `round` (from 1) adds: cost after it less cost before it, so that all rounds' charges
/// add up to the cost of the run. Never negative.
Result<Amounts> round_charge(Schedule schedule, std::uint64_t round, std::uint64_t dimension,
                             int m);

}  // namespace muster::privacy
