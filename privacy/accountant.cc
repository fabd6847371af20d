#include "privacy/accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "privacy/accountant_gaussian.h"
#include "privacy/accountant_pld.h"
#include "privacy/accountant_rdp.h"

namespace muster::privacy {
namespace {

/// How near solve_noise() comes to the least noise multiplier.
constexpr double kSolved = 1e-5;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

Status refuse(const char* reason, std::string message) {
  return {Code::kInvalid, reason, std::move(message)};
}

Status check(const Participation& limit) {
  if (limit.participations == 0 || limit.separation == 0)
    return refuse("sampling_invalid", "participations and separation begin at 1");
  return {};
}

bool is_gaussian(const Sampling& sampling) {
  return !std::holds_alternative<Poisson>(sampling) && !std::holds_alternative<FixedSize>(sampling);
}

/// z against the sensitivity of the adjacency.
double effective_noise(const Schedule& run) {
  return run.noise_multiplier / sum_sensitivity(run.adjacency);
}

double gaussian_rdp(double mu, double delta) {
  std::vector<double> curve;
  for (const double alpha : rdp_orders()) curve.push_back(alpha * mu * mu / 2);
  return rdp_epsilon(rdp_orders(), curve, delta);
}

double sampled_rdp(const Schedule& run, double delta) {
  const auto orders = rdp_orders();
  std::vector<double> curve;
  if (const auto* poisson = std::get_if<Poisson>(&run.sampling)) {
    for (const double alpha : orders)
      curve.push_back(rdp_poisson(poisson->q, run.noise_multiplier, alpha));
  } else {
    const auto& fixed = std::get<FixedSize>(run.sampling);
    const double q = static_cast<double>(fixed.cohort) / static_cast<double>(fixed.population);
    curve = rdp_fixed_size(q, effective_noise(run), orders);
  }
  for (double& r : curve) r *= static_cast<double>(run.rounds);
  return rdp_epsilon(orders, curve, delta);
}

}  // namespace

std::string_view sampling_name(const Sampling& sampling) {
  return std::visit(
      Overloaded{[](const CheckIn&) { return "check-in"; },
                 [](const Poisson&) { return "poisson"; },
                 [](const FixedSize&) { return "fixed-size"; }, [](const Tree&) { return "tree"; },
                 [](const BltNoise&) { return "blt"; }},
      sampling);
}

std::string_view accountant_name(Accountant accountant) {
  switch (accountant) {
    case Accountant::kGaussian:
      return "gaussian";
    case Accountant::kPld:
      return "pld";
    case Accountant::kRdp:
      return "rdp";
    case Accountant::kZcdp:
      return "zcdp";
  }
  return "unknown";
}

std::string_view conversion_name(Accountant accountant) {
  switch (accountant) {
    case Accountant::kGaussian:
      return "exact Gaussian (Balle and Wang 2018)";
    case Accountant::kPld:
      return "privacy loss distribution, dots connected (Doroshenko et al. 2022)";
    case Accountant::kRdp:
      return "Renyi, least over orders (Canonne, Kamath and Steinke 2020)";
    case Accountant::kZcdp:
      return "zCDP, least over orders (Canonne, Kamath and Steinke 2020)";
  }
  return "unknown";
}

Status check(const Schedule& run) {
  if (!(run.noise_multiplier >= kMinNoise && run.noise_multiplier <= kMaxNoise))
    return refuse("noise_invalid", "the noise multiplier must lie in [0.05, 100000]");
  if (run.rounds == 0 || run.rounds > kMaxRounds)
    return refuse("rounds_invalid", "rounds must lie in [1, 10000000]");
  return std::visit(
      Overloaded{
          [](const CheckIn& s) { return check(s.limit); },
          [&](const Poisson& s) {
            if (!(s.q > 0 && s.q <= 1))
              return refuse("sampling_invalid", "the sampling probability must lie in (0, 1]");
            if (s.capacity == 0) return Status();
            if (s.population < s.capacity)
              return refuse("sampling_invalid", "a capacity needs the population it is drawn from");
            if (run.adjacency == Adjacency::kReplaceOne)
              return refuse("adjacency_unsupported",
                            "capped Poisson sampling is accounted under zero-out or add-remove; "
                            "choose one of them, or leave out the capacity");
            return Status();
          },
          [&](const FixedSize& s) {
            if (s.cohort == 0 || s.cohort > s.population)
              return refuse("sampling_invalid",
                            "a fixed-size cohort needs 1 <= cohort <= population");
            if (run.adjacency != Adjacency::kReplaceOne)
              return refuse("adjacency_unsupported",
                            "sampling a fixed number without replacement is accounted under "
                            "replace-one only; choose it, or sample by Poisson");
            return Status();
          },
          [](const Tree& s) { return check(s.limit); },
          [](const BltNoise& s) {
            MUSTER_TRY(check(s.blt));
            return check(s.limit);
          }},
      run.sampling);
}

std::vector<Accountant> accountants(const Schedule& run) {
  if (is_gaussian(run.sampling))
    return {Accountant::kGaussian, Accountant::kRdp, Accountant::kZcdp};
  const auto* poisson = std::get_if<Poisson>(&run.sampling);
  if (poisson == nullptr) return {Accountant::kRdp};
  // The Renyi bound is proved without a capacity, for add-remove and zero-out.
  if (poisson->capacity != 0 || run.adjacency == Adjacency::kReplaceOne) return {Accountant::kPld};
  return {Accountant::kPld, Accountant::kRdp};
}

Result<double> sensitivity_squared(const Schedule& run) {
  using Answer = Result<double>;
  return std::visit(
      Overloaded{
          [&](const CheckIn& s) -> Answer {
            return static_cast<double>(participations_possible(s.limit, run.rounds));
          },
          [&](const Tree& s) -> Answer {
            if (s.epoch_rounds != 0) {
              const std::uint64_t whole = run.rounds / s.epoch_rounds,
                                  rest = run.rounds % s.epoch_rounds;
              return static_cast<double>(restarted_tree_sensitivity_squared(whole, s.epoch_rounds) +
                                         restarted_tree_sensitivity_squared(1, rest));
            }
            MUSTER_ASSIGN(const std::uint64_t zeta, tree_sensitivity_squared(s.limit, run.rounds));
            return static_cast<double>(zeta);
          },
          [&](const BltNoise& s) -> Answer {
            return toeplitz_sensitivity_squared(blt_coefficients(s.blt, run.rounds), s.limit);
          },
          [](const auto&) -> Answer {
            return refuse("not_gaussian", "a sampled run is not one Gaussian mechanism");
          }},
      run.sampling);
}

Result<double> epsilon(const Schedule& run, double delta, Accountant accountant) {
  MUSTER_TRY(check(run));
  if (!(delta > 0 && delta < 1)) return refuse("delta_invalid", "delta must lie in (0, 1)");
  const auto sound = accountants(run);
  if (std::find(sound.begin(), sound.end(), accountant) == sound.end())
    return refuse("accountant_unsound", std::string(accountant_name(accountant))
                                            .append(" does not hold for ")
                                            .append(sampling_name(run.sampling))
                                            .append(" under ")
                                            .append(adjacency_name(run.adjacency))
                                            .append("; ")
                                            .append(accountant_name(sound.front()))
                                            .append(" does"));
  double mu = 0;
  if (is_gaussian(run.sampling)) {
    MUSTER_ASSIGN(const double squared, sensitivity_squared(run));
    mu = std::sqrt(squared) / effective_noise(run);
  }
  double value = 0;
  switch (accountant) {
    case Accountant::kGaussian:
      value = gaussian_epsilon(mu, delta);
      break;
    case Accountant::kZcdp:
      value = zcdp_epsilon(mu * mu / 2, delta);
      break;
    case Accountant::kRdp:
      value = is_gaussian(run.sampling) ? gaussian_rdp(mu, delta) : sampled_rdp(run, delta);
      break;
    case Accountant::kPld: {
      const auto& s = std::get<Poisson>(run.sampling);
      const LossStep step{run.noise_multiplier, s.q, run.rounds, s.population, s.capacity};
      value = pld_epsilon({&step, 1}, run.adjacency, delta);
      break;
    }
  }
  if (!(value < std::numeric_limits<double>::infinity()))
    return refuse("not_accountable", "no finite epsilon can be shown at this delta");
  return value;
}

Result<Spend> tightest(const Schedule& run, double delta) {
  MUSTER_TRY(check(run));
  Result<Spend> best = refuse("not_accountable", "no finite epsilon can be shown at this delta");
  for (const Accountant accountant : accountants(run)) {
    auto value = epsilon(run, delta, accountant);
    if (!value.ok()) {
      if (!best.ok()) best = std::move(value).status();
    } else if (!best.ok() || *value < best->epsilon) {
      best = Spend{*value, accountant};
    }
  }
  return best;
}

Result<double> solve_noise(Schedule run, double target, double delta, Accountant accountant) {
  if (!(target > 0)) return refuse("target_invalid", "the target epsilon must be above 0");
  // Squared sensitivity does not depend on z: the exact Gaussian is solved by itself.
  if (accountant == Accountant::kGaussian && is_gaussian(run.sampling)) {
    run.noise_multiplier = 1;
    MUSTER_TRY(epsilon(run, delta, accountant).status());
    const double z = std::sqrt(*sensitivity_squared(run)) * sum_sensitivity(run.adjacency) /
                     gaussian_mu(target, delta) * (1 + 1e-12);
    if (z > kMaxNoise)
      return refuse("target_out_of_reach", "no noise multiplier up to 100000 meets the target");
    return std::max(z, kMinNoise);
  }
  const auto spent = [&](double z) -> Result<double> {
    run.noise_multiplier = z;
    auto value = epsilon(run, delta, accountant);
    if (!value.ok() && value.status().reason() == "not_accountable")
      return std::numeric_limits<double>::infinity();
    return value;
  };
  double low = kMinNoise, high = 1;
  double low_spent = std::numeric_limits<double>::infinity(), high_spent = 0;
  for (;; high *= 2) {
    high = std::min(high, kMaxNoise);
    MUSTER_ASSIGN(high_spent, spent(high));
    if (high_spent <= target) break;
    if (high == kMaxNoise)
      return refuse("target_out_of_reach", "no noise multiplier up to 100000 meets the target");
    low = high;
    low_spent = high_spent;
  }
  // Epsilon is close to a power of z: interpolate in logarithms, a little to the side that moved
  // last, so that the bracket closes from both; halve where that does not help.
  double lean = 1;
  for (int step = 0; high > low * (1 + kSolved); ++step) {
    double z = std::sqrt(low * high);
    if (step % 8 != 7 && low_spent < std::numeric_limits<double>::infinity() && high_spent > 0)
      z = low * std::exp(std::log(high / low) * std::log(low_spent / target) /
                         std::log(low_spent / high_spent));
    z = std::clamp(z * (1 + lean * kSolved / 3), low * (1 + kSolved / 4), high * (1 - kSolved / 4));
    MUSTER_ASSIGN(const double here, spent(z));
    const bool enough = here <= target;
    (enough ? high : low) = z;
    (enough ? high_spent : low_spent) = here;
    lean = enough ? -1 : 1;
  }
  return high;
}

}  // namespace muster::privacy
