#include "privacy/amounts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "privacy/accountant_gaussian.h"
#include "privacy/accountant_rdp.h"

namespace muster::privacy {
namespace {

/// Covers the few roundings between an accountant's value and its units.
constexpr double kMargin = 1e-12;

std::uint64_t units(double value) {
  const double scaled = std::ceil(std::ldexp(value * (1 + kMargin), kUnitBits));
  return scaled < 0x1p63 ? static_cast<std::uint64_t>(scaled) : kNoBound;
}

double value_of(std::uint64_t amount) {
  if (amount == kNoBound) return std::numeric_limits<double>::infinity();
  return std::ldexp(static_cast<double>(amount), -kUnitBits) * (1 + kMargin);
}

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? kNoBound : sum;
}

std::uint64_t times(std::uint64_t a, std::uint64_t n) {
  std::uint64_t product;
  return a == kNoBound || __builtin_mul_overflow(a, n, &product) ? kNoBound : product;
}

/// a - b for a that grew from b; what was unbounded stays so.
std::uint64_t growth(std::uint64_t a, std::uint64_t b) {
  return a == kNoBound ? kNoBound : a - std::min(a, b);
}

}  // namespace

Amounts operator+(const Amounts& a, const Amounts& b) {
  Amounts sum;
  sum.rho = add(a.rho, b.rho);
  for (std::size_t i = 0; i < sum.curve.size(); ++i) sum.curve[i] = add(a.curve[i], b.curve[i]);
  sum.shift = add(a.shift, b.shift);
  sum.releases = add(a.releases, b.releases);
  return sum;
}

double epsilon(const Amounts& spent, double delta) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double rho = value_of(spent.rho), shift = value_of(spent.shift);
  if (spent.rho == kNoBound || spent.shift == kNoBound) return kInfinity;
  const bool sampled =
      std::any_of(spent.curve.begin(), spent.curve.end(), [](std::uint64_t v) { return v != 0; });
  const auto continuous = [&](double at) {
    if (!(at > 0)) return kInfinity;
    if (!sampled) return gaussian_epsilon(std::sqrt(2 * rho), at);
    std::array<double, kLedgerOrders.size()> curve;
    for (std::size_t i = 0; i < curve.size(); ++i)
      curve[i] = value_of(spent.curve[i]) + rho * kLedgerOrders[i];
    return rdp_epsilon(kLedgerOrders, curve, at);
  };
  if (spent.releases == 0) return continuous(delta);
  const Closeness close{shift, std::exp(-kDiscreteTail) * static_cast<double>(spent.releases)};
  // A first value, a little too small, bounds the second once it is raised.
  const double bound = continuous(delta) * 1.1 + 1;
  const double found = continuous(continuous_delta(close, delta, bound));
  return found <= bound ? found + shift : kInfinity;
}

Result<Amounts> cost(const Schedule& schedule, std::uint64_t dimension, int m) {
  MUSTER_TRY(check(schedule));
  if (m < 4 || m > 40 || dimension == 0)
    return Status(Code::kInvalid, "grid_invalid",
                  "the noise wants a standard deviation of 2^4 to 2^40 grid steps and at least one "
                  "coordinate");
  Amounts out;
  out.shift =
      times(units(discrete_closeness(static_cast<double>(dimension), m).shift), schedule.rounds);
  out.releases = schedule.rounds;
  const double factor = sum_sensitivity(schedule.adjacency), z = schedule.noise_multiplier;
  if (const auto squared = sensitivity_squared(schedule); squared.ok()) {
    out.rho = units(*squared * factor * factor / (2 * z * z));
  } else if (const auto* poisson = std::get_if<Poisson>(&schedule.sampling)) {
    if (poisson->capacity != 0 || schedule.adjacency == Adjacency::kReplaceOne)
      return Status(Code::kInvalid, "ledger_cannot_hold",
                    "the ledger adds Renyi curves, which nobody has proved for this sampling and "
                    "adjacency; leave out the capacity, and choose zero-out or add-remove");
    for (std::size_t i = 0; i < out.curve.size(); ++i)
      out.curve[i] = times(units(rdp_poisson(poisson->q, z, kLedgerOrders[i])), schedule.rounds);
  } else if (const auto* fixed = std::get_if<FixedSize>(&schedule.sampling)) {
    const double q = static_cast<double>(fixed->cohort) / static_cast<double>(fixed->population);
    const auto curve = rdp_fixed_size(q, z / factor, kLedgerOrders);
    for (std::size_t i = 0; i < out.curve.size(); ++i)
      out.curve[i] = times(units(curve[i]), schedule.rounds);
  } else {
    return squared.status();
  }
  return out;
}

Result<Amounts> round_charge(Schedule schedule, std::uint64_t round, std::uint64_t dimension,
                             int m) {
  schedule.rounds = round;
  MUSTER_ASSIGN(Amounts after, cost(schedule, dimension, m));
  if (round == 1) return after;
  schedule.rounds = round - 1;
  MUSTER_ASSIGN(const Amounts before, cost(schedule, dimension, m));
  after.rho = growth(after.rho, before.rho);
  for (std::size_t i = 0; i < after.curve.size(); ++i)
    after.curve[i] = growth(after.curve[i], before.curve[i]);
  after.shift = growth(after.shift, before.shift);
  after.releases = growth(after.releases, before.releases);
  return after;
}

}  // namespace muster::privacy
