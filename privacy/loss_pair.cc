#include "privacy/loss_pair.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "privacy/normal.h"

namespace muster::privacy {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// P(N(0, 1) > 12) is 2e-33: nothing beside the smallest delta anyone asks for.
constexpr double kReach = 12;

/// ln((1 - q) + q e^t).
double log_mixture(double q, double t) {
  if (t > 30) return t + std::log(q) + std::log1p((1 - q) / q * std::exp(-t));
  return std::log1p(q * std::expm1(t));
}

double mixture_mass(const LossPair& pair, double centre, double low, double high) {
  const double z = pair.noise_multiplier;
  const double there = normal_interval((low - centre) / z, (high - centre) / z);
  if (pair.q == 1) return there;
  return (1 - pair.q) * normal_interval(low / z, high / z) + pair.q * there;
}

}  // namespace

double LossPair::loss(double x) const {
  const double unit = 2 * noise_multiplier * noise_multiplier;
  const double up = log_mixture(q, (2 * x - 1) / unit);
  if (side == LossSide::kAdd) return -up;
  if (side == LossSide::kRemove) return up;
  return up - log_mixture(q, (-2 * x - 1) / unit);
}

double LossPair::x_of(double l) const {
  const double z2 = noise_multiplier * noise_multiplier;
  if (side == LossSide::kReplace) {
    const double lean = std::asinh((1 - q) / q * std::sinh(l / 2) * std::exp(1 / (2 * z2)));
    return z2 * (l / 2 + lean);
  }
  const double wanted = side == LossSide::kAdd ? -l : l;
  const double excess = std::expm1(wanted) + q;  // e^wanted - (1 - q)
  return excess <= 0 ? -kInfinity : z2 * std::log(excess / q) + 0.5;
}

double LossPair::first_mass(double low, double high) const {
  if (side == LossSide::kAdd)
    return normal_interval(low / noise_multiplier, high / noise_multiplier);
  return mixture_mass(*this, 1, low, high);
}

double LossPair::second_mass(double low, double high) const {
  if (side == LossSide::kRemove)
    return normal_interval(low / noise_multiplier, high / noise_multiplier);
  return mixture_mass(*this, side == LossSide::kAdd ? 1 : -1, low, high);
}

double least_loss(const LossPair& pair) {
  const double reach = kReach * pair.noise_multiplier + 1;
  return std::min(pair.loss(-reach), pair.loss(reach));
}

double greatest_loss(const LossPair& pair) {
  const double reach = kReach * pair.noise_multiplier + 1;
  return std::max(pair.loss(-reach), pair.loss(reach));
}

double loss_scale(const LossPair& pair) {
  const double reach = kReach * pair.noise_multiplier + 1, width = reach / 1000;
  double square = 0;
  for (double x = -reach; x < reach; x += width) {
    const double l = pair.loss(x + width / 2);
    square += pair.first_mass(x, x + width) * l * l;
  }
  return std::sqrt(square);
}

LossMasses discretise(const LossPair& pair, double step) {
  LossMasses out;
  out.step = step;
  out.first = static_cast<std::int64_t>(std::floor(least_loss(pair) / step));
  const auto last = static_cast<std::int64_t>(std::ceil(greatest_loss(pair) / step));
  out.mass.assign(static_cast<std::size_t>(last - out.first) + 1, 0.0);
  const bool falling = pair.side == LossSide::kAdd;
  const double whole = -std::expm1(-step);
  const double bottom = pair.x_of(static_cast<double>(out.first) * step);
  out.mass[0] = falling ? pair.first_mass(bottom, kInfinity) : pair.first_mass(-kInfinity, bottom);
  double from = bottom;
  for (std::size_t i = 0; i + 1 < out.mass.size(); ++i) {
    const double loss = static_cast<double>(out.first + static_cast<std::int64_t>(i)) * step;
    const double to = pair.x_of(loss + step);
    const double low = std::min(from, to), high = std::max(from, to);
    const double p = pair.first_mass(low, high);
    // a + b = p and a e^-loss + b e^-(loss + step) = second mass.
    const double b = std::clamp((p - std::exp(loss) * pair.second_mass(low, high)) / whole, 0.0, p);
    out.mass[i] += p - b;
    out.mass[i + 1] += b;
    from = to;
  }
  while (out.mass.size() > 1 && out.mass.back() == 0) out.mass.pop_back();
  out.infinite = falling ? pair.first_mass(-kInfinity, from) : pair.first_mass(from, kInfinity);
  return out;
}

LossMasses mix(double share, const LossMasses& a, const LossMasses& b) {
  MUSTER_CHECK(a.step == b.step);
  LossMasses out;
  out.step = a.step;
  out.first = std::min(a.first, b.first);
  const auto end = [](const LossMasses& m) {
    return m.first + static_cast<std::int64_t>(m.mass.size());
  };
  out.mass.assign(static_cast<std::size_t>(std::max(end(a), end(b)) - out.first), 0.0);
  const auto add = [&](double weight, const LossMasses& m) {
    for (std::size_t i = 0; i < m.mass.size(); ++i)
      out.mass[i + static_cast<std::size_t>(m.first - out.first)] += weight * m.mass[i];
    out.infinite += weight * m.infinite;
  };
  add(share, a);
  add(1 - share, b);
  return out;
}

}  // namespace muster::privacy
