// What a task's rounds cost: the sampling statements of algorithms 7.5, and for each the
// accountants that hold for it. Every epsilon is rounded up (each accountant's header says how).
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "privacy/adjacency.h"
#include "privacy/correlated.h"

namespace muster::privacy {

/// Devices check in when they can; each takes part a limited number of times. No amplification.
struct CheckIn {
  Participation limit;
};
/// The server draws each of `population` devices with secret probability `q`; no-shows count as
/// zero; nobody learns who took part. With `capacity`, at most that many, the others left out.
struct Poisson {
  double q = 0;
  std::uint64_t population = 0;
  std::uint64_t capacity = 0;  ///< 0: no limit
};
/// The server draws exactly `cohort` of `population`. Replace-one only.
struct FixedSize {
  std::uint64_t population = 0;
  std::uint64_t cohort = 0;
};
/// Tree-aggregated noise; `epoch_rounds` 0: one tree, participation limited; else restarted after
/// so many rounds with one participation an epoch.
struct Tree {
  Participation limit;
  std::uint64_t epoch_rounds = 0;
};
struct BltNoise {
  Blt blt;
  Participation limit;
};
/// Which sentence about sampling is true of the deployment (algorithms 7.5).
using Sampling = std::variant<CheckIn, Poisson, FixedSize, Tree, BltNoise>;
std::string_view sampling_name(const Sampling& sampling);

/// A run of rounds of one kind.
struct Schedule {
  double noise_multiplier = 1;  ///< z: standard deviation of the noise on a sum, over the clip norm
  Adjacency adjacency = Adjacency::kZeroOut;
  Sampling sampling;
  std::uint64_t rounds = 1;
};
/// "noise_invalid", "rounds_invalid", "sampling_invalid" (numbers), "adjacency_unsupported" (a pair
/// that no accountant covers), "blt_invalid".
Status check(const Schedule& run);

enum class Accountant : std::uint8_t {
  kGaussian,  ///< exact: the run is one Gaussian mechanism
  kPld,
  kRdp,
  kZcdp,
};
std::string_view accountant_name(Accountant accountant);
/// What was done to get epsilon, for the release record.
std::string_view conversion_name(Accountant accountant);

/// Those that hold for the run, tightest first.
std::vector<Accountant> accountants(const Schedule& run);
/// Squared sensitivity of the whole run over C^2, for runs that are one Gaussian mechanism
/// (check-in, tree, BLT); "not_gaussian" for the others. Adjacency is not in it.
Result<double> sensitivity_squared(const Schedule& run);

/// Epsilon at `delta`, 0 < delta < 1 ("delta_invalid"). "accountant_unsound" where the accountant
/// does not hold for the run, "not_accountable" where it finds no finite value.
Result<double> epsilon(const Schedule& run, double delta, Accountant accountant);
struct Spend {
  double epsilon = 0;
  Accountant accountant = Accountant::kGaussian;
};
/// The least of all that hold.
Result<Spend> tightest(const Schedule& run, double delta);

/// The least noise multiplier, to 1e-5 of itself and rounded up, at which `run` spends at most
/// `target` by the accountant. run.noise_multiplier is not read. "target_out_of_reach" where
/// kMaxNoise is not enough.
Result<double> solve_noise(Schedule run, double target, double delta, Accountant accountant);

inline constexpr double kMinNoise = 0.05;
inline constexpr double kMaxNoise = 1e5;
inline constexpr std::uint64_t kMaxRounds = 10'000'000;

}  // namespace muster::privacy
