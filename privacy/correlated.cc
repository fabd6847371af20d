#include "privacy/correlated.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace muster::privacy {
namespace {

/// Sums of a few thousand to a million positive doubles.
constexpr double kMargin = 1e-10;

}  // namespace

std::uint32_t participations_possible(const Participation& limit, std::uint64_t rounds) {
  const std::uint64_t separation = std::max<std::uint32_t>(1, limit.separation);
  const std::uint64_t fit = rounds / separation + (rounds % separation != 0);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(limit.participations, fit));
}

std::uint64_t restarted_tree_sensitivity_squared(std::uint64_t epochs, std::uint64_t steps) {
  return steps == 0 ? 0 : epochs * static_cast<std::uint64_t>(std::bit_width(steps));
}

const Blt& usual_blt() {
  static const Blt blt{{0.9999528892, 0.9857068667}, {0.0122853238, 0.1878393665}};
  return blt;
}

Status check(const Blt& blt) {
  const auto refuse = [](const char* what) {
    return Status(Code::kInvalid, "blt_invalid",
                  std::string("the BLT's ").append(what).append("; take a published pair"));
  };
  if (blt.theta.empty() || blt.theta.size() != blt.omega.size())
    return refuse("theta and omega must be lists of one length");
  for (std::size_t i = 0; i < blt.theta.size(); ++i) {
    if (!(blt.theta[i] > 0 && blt.theta[i] < 1)) return refuse("theta must lie in (0, 1)");
    if (!(blt.omega[i] > 0 && blt.omega[i] < 1e6)) return refuse("omega must be positive");
    for (std::size_t j = 0; j < i; ++j)
      if (blt.theta[i] == blt.theta[j]) return refuse("theta must be distinct");
  }
  return {};
}

std::vector<double> blt_coefficients(const Blt& blt, std::uint64_t rounds) {
  std::vector<double> powers = blt.omega, out;
  for (std::uint64_t t = 0; t < rounds; ++t) {
    double sum = t == 0 ? 1 : 0;
    for (std::size_t i = 0; t > 0 && i < powers.size(); ++i) {
      sum += powers[i];
      powers[i] *= blt.theta[i];
    }
    out.push_back(sum);
  }
  return out;
}

std::vector<double> blt_inverse(const Blt& blt, std::uint64_t rounds) {
  std::vector<double> buffers(blt.theta.size(), 0.0), out;
  for (std::uint64_t t = 0; t < rounds; ++t) {
    double x = t == 0 ? 1 : 0;
    for (std::size_t i = 0; i < buffers.size(); ++i) x -= blt.omega[i] * buffers[i];
    for (std::size_t i = 0; i < buffers.size(); ++i) buffers[i] = blt.theta[i] * buffers[i] + x;
    out.push_back(x);
  }
  return out;
}

double toeplitz_sensitivity_squared(std::vector<double> coefficients, const Participation& limit) {
  double greatest = 0;
  for (std::size_t i = coefficients.size(); i-- > 0;)
    greatest = coefficients[i] = std::max(greatest, std::fabs(coefficients[i]));
  const std::uint32_t k = participations_possible(limit, coefficients.size());
  const std::size_t apart = std::max<std::uint32_t>(1, limit.separation);
  // Round t feels the participations at 0, apart, 2 apart, ... up to t and the k-th.
  std::vector<double> column(coefficients.size(), 0.0);
  for (std::size_t j = 0; j < k; ++j)
    for (std::size_t t = j * apart; t < column.size(); ++t)
      column[t] += coefficients[t - j * apart];
  double sum = 0;
  for (const double value : column) sum += value * value;
  return sum * (1 + kMargin);
}

double toeplitz_max_error_squared(const std::vector<double>& inverse) {
  double prefix = 0, sum = 0;
  for (const double value : inverse) {
    prefix += value;
    sum += prefix * prefix;
  }
  return sum;
}

std::vector<double> optimal_toeplitz(std::uint64_t rounds) {
  std::vector<double> out;
  for (std::uint64_t t = 0; t < rounds; ++t)
    out.push_back(t == 0 ? 1 : out.back() * (1 - 0.5 / static_cast<double>(t)));
  return out;
}

}  // namespace muster::privacy
