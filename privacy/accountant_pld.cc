#include "privacy/accountant_pld.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "privacy/fft.h"
#include "privacy/loss_pair.h"
#include "privacy/normal.h"

namespace muster::privacy {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Grid points in one root mean square of the loss of a round, and of all rounds. Connecting the
/// dots adds at most step^2 / 4 to the variance of a round: 1e-4 of it.
constexpr double kPointsPerScale = 50;
constexpr double kPointsPerRun = 4000;
constexpr std::size_t kMaxCells = std::size_t{1} << 18;   ///< of one round's loss
constexpr std::size_t kMaxWindow = std::size_t{1} << 21;  ///< of the composed loss
/// The window around Chernoff's bound in units of 1 / tilt. The answer is a few units below the
/// bound, and the tilted loss some 6 wide. What is above the window weighs at most e^-kAbove of
/// delta.
constexpr double kBelow = 60;
constexpr double kAbove = 24;
/// ln of the tilted mass that may lie so far above that it wraps around to the answer, and the
/// steps in tilt by which Chernoff's bound on it is sought.
constexpr double kLogOutside = -16;
constexpr std::array<double, 5> kNudges = {0.1, 0.2, 0.4, 0.8, 1.6};
/// Rounding of sums over the window (2^21 terms at most, all positive) and of logarithms.
constexpr double kMargin = 1e-8;

struct Part {
  LossMasses loss;
  double count = 1;
};

LossMasses discretise(const LossStep& step, LossSide side, double grid) {
  const LossPair plain{step.noise_multiplier, step.q, side};
  if (step.capacity == 0 || step.capacity >= step.population) return discretise(plain, grid);
  // A full round leaves someone out, so one device's coming displaces another: its change is a
  // replacement, of sensitivity 2.
  const double full = binomial_tail(step.population - 1, step.q, step.capacity);
  if (full == 0) return discretise(plain, grid);
  const double inside = binomial_tail(step.population, step.q, step.capacity + 1) *
                        static_cast<double>(step.capacity) /
                        (full * static_cast<double>(step.population));
  const LossPair displaced{step.noise_multiplier / 2, std::min(1.0, inside), LossSide::kReplace};
  return mix(full, discretise(displaced, grid), discretise(plain, grid));
}

double grid_of(std::span<const LossStep> steps, LossSide side) {
  double square = 0, count = 0, range = 0;
  for (const LossStep& step : steps) {
    const LossPair pair{step.noise_multiplier, step.q, side};
    const double scale = loss_scale(pair);
    square += scale * scale * static_cast<double>(step.count);
    count += static_cast<double>(step.count);
    range = std::max(range, greatest_loss(pair) - least_loss(pair));
  }
  return std::max(
      std::min(std::sqrt(square / count) / kPointsPerScale, std::sqrt(square) / kPointsPerRun),
      range / static_cast<double>(kMaxCells));
}

/// The sum of all rounds' losses, seen through its cumulants K(t) = ln E e^(t loss).
class Composition {
 public:
  Composition(std::span<const LossStep> steps, LossSide side, double grid) : grid_(grid) {
    for (const LossStep& step : steps) {
      parts_.push_back({discretise(step, side, grid), static_cast<double>(step.count)});
      infinite_ += parts_.back().loss.infinite * parts_.back().count;
    }
  }

  double cumulant(double t) const {
    double sum = 0;
    for (const Part& part : parts_) sum += part.count * log_moment(part.loss, t);
    return sum;
  }

  /// The t that gives the least (K(t) - ln delta) / t: tilting by it brings the loss to where
  /// epsilon will be.
  double best_tilt(double delta) const {
    const auto bound = [&](double log_t) {
      const double t = std::exp(log_t);
      return (cumulant(t) - std::log(delta)) / t;
    };
    double low = std::log(1e-3), high = std::log(1e6);
    for (int i = 0; i < 26; ++i) {  // to a per cent; any tilt gives a valid bound
      const double a = low + 0.382 * (high - low), b = low + 0.618 * (high - low);
      (bound(a) <= bound(b) ? high : low) = bound(a) <= bound(b) ? b : a;
    }
    return std::exp((low + high) / 2);
  }

  /// Least epsilon whose delta is at most `delta`, by way of the loss tilted by `tilt`; infinite
  /// where the window of that tilt is too wide to compute.
  double epsilon(double delta, double tilt) const;

  /// Where sampling leaves a long thin tail, the best tilt can split the loss between its body and
  /// that tail, which would wrap around. A smaller tilt keeps to the body.
  bool splits(double tilt, double delta) const {
    const double here = cumulant(tilt), far = (here - std::log(delta) + kBelow) / tilt;
    return std::none_of(kNudges.begin(), kNudges.end(), [&](double nudge) {
      return cumulant(tilt * (1 + nudge)) - here - tilt * nudge * far < kLogOutside;
    });
  }

 private:
  static double log_moment(const LossMasses& loss, double t) {
    // From the end where e^(t loss) is greatest; powers by multiplication, begun anew every 64
    // points so that rounding stays below 1e-14.
    const std::size_t size = loss.mass.size();
    const double fade = -std::fabs(t) * loss.step, factor = std::exp(fade);
    double sum = 0;
    for (std::size_t i = 0; i < size; i += 64) {
      double power = std::exp(fade * static_cast<double>(i));
      if (power == 0) break;
      for (std::size_t j = i; j < std::min(i + 64, size); ++j, power *= factor)
        sum += loss.mass[t < 0 ? j : size - 1 - j] * power;
    }
    const double end =
        static_cast<double>(loss.first) + (t < 0 ? 0 : static_cast<double>(size - 1));
    return std::log(sum) + t * loss.step * end;
  }

  /// The tilted distribution of the sum at losses (first + i) grid, by one transform a part.
  std::vector<double> tilted(double tilt, std::int64_t first, std::size_t size) const;

  double grid_;
  std::vector<Part> parts_;
  double infinite_ = 0;
};

std::vector<double> Composition::tilted(double tilt, std::int64_t first, std::size_t size) const {
  const Fft fft(size);
  const auto ring = static_cast<std::int64_t>(size);
  std::vector<std::complex<double>> product(size, 1.0), values(size);
  std::int64_t shift = -first;  // of the sum, so that its window begins at 0
  for (const Part& part : parts_) {
    std::fill(values.begin(), values.end(), 0.0);
    const double scale = log_moment(part.loss, tilt);
    for (std::size_t i = 0; i < part.loss.mass.size(); ++i) {
      const double index = static_cast<double>(part.loss.first + static_cast<std::int64_t>(i));
      values[i % size] += part.loss.mass[i] * std::exp(tilt * grid_ * index - scale);
    }
    fft.forward(values);
    const auto count = static_cast<std::uint64_t>(part.count);
    for (std::size_t k = 0; k < size; ++k)
      for (std::uint64_t bits = count; bits != 0; bits >>= 1) {
        if ((bits & 1) != 0) product[k] *= values[k];
        values[k] *= values[k];
      }
    shift += static_cast<std::int64_t>(count) * part.loss.first;
  }
  fft.inverse(product);
  std::vector<double> out(size);
  const auto turn = static_cast<std::size_t>(((shift % ring) + ring) % ring);
  for (std::size_t i = 0; i < size; ++i)
    out[(i + turn) % size] = std::max(0.0, product[i].real() / static_cast<double>(size));
  return out;
}

double Composition::epsilon(double delta, double tilt) const {
  // Chernoff's bound is above the answer, by a few 1 / tilt; everything is taken relative to it.
  const double bound = (cumulant(tilt) - std::log(delta)) / tilt;
  const double low = bound - kBelow / tilt, high = bound + kAbove / tilt;
  const double points = (high - low) / grid_ + 2;
  if (!(points > 0 && points < static_cast<double>(kMaxWindow))) return kInfinity;
  const std::size_t size = std::bit_ceil(static_cast<std::size_t>(points) + 1);
  const auto first = static_cast<std::int64_t>(std::floor(low / grid_));
  const std::vector<double> mass = tilted(tilt, first, size);

  // delta(e) = e^K sum over l > e of mass(l) (e^(-tilt l) - e^(e - (tilt + 1) l)), with sums
  // from the top.
  std::vector<double> plain(size + 1, 0.0), steeper(size + 1, 0.0);
  const auto loss_at = [&](std::size_t i) {
    return static_cast<double>(first + static_cast<std::int64_t>(i)) * grid_;
  };
  for (std::size_t i = size; i-- > 0;) {
    const double offset = loss_at(i) - bound, value = mass[i] * std::exp(-tilt * offset);
    plain[i] = plain[i + 1] + value;
    steeper[i] = steeper[i + 1] + value * std::exp(-offset);
  }
  double count = 0;
  for (const Part& part : parts_) count += part.count;
  // Transforms err by 4 log2(size) 2^-53 in L2, and powers multiply that by their number.
  const double error = (count + 2) * 8 * std::log2(static_cast<double>(size)) * 0x1p-53 *
                       (1 + 1 / std::sqrt(2 * tilt * grid_));
  const auto delta_at = [&](double e) {
    const double position = std::max(0.0, std::floor(e / grid_ - static_cast<double>(first)) + 1);
    const auto i = static_cast<std::size_t>(std::min(position, static_cast<double>(size)));
    const double sum = plain[i] - std::exp(e - bound) * steeper[i] + kMargin * plain[i] * 1e-3 +
                       error * std::exp(-tilt * (e - bound));
    return delta * (sum * (1 + kMargin) + std::exp(-kAbove)) + infinite_;
  };
  double from = std::max(0.0, loss_at(0)), to = high;
  if (delta_at(from) <= delta) return from * (1 + kMargin);
  if (!(delta_at(to) <= delta)) return kInfinity;
  for (int i = 0; i < 100; ++i) {
    const double half = from + (to - from) / 2;
    (delta_at(half) <= delta ? to : from) = half;
  }
  return to * (1 + kMargin);
}

double one_side(std::span<const LossStep> steps, LossSide side, double delta) {
  double grid = grid_of(steps, side);
  for (int coarser = 0; coarser < 8; ++coarser, grid *= 2) {
    const Composition composition(steps, side, grid);
    double tilt = composition.best_tilt(delta);
    for (int i = 0; i < 8 && composition.splits(tilt, delta); ++i) tilt *= 0.8;
    const double epsilon = composition.epsilon(delta, tilt);
    if (epsilon < kInfinity) return epsilon;
  }
  return kInfinity;
}

}  // namespace

double binomial_tail(std::uint64_t n, double q, std::uint64_t k) {
  if (k == 0) return 1;
  if (k > n || q == 0) return 0;
  if (q == 1) return 1;
  // Terms from k upwards; once past the mode they fall by a ratio that itself falls.
  const auto real = [](std::uint64_t v) { return static_cast<double>(v); };
  int sign = 0;
  const auto log_term = [&](std::uint64_t i) {
    return ::lgamma_r(real(n) + 1, &sign) - ::lgamma_r(real(i) + 1, &sign) -
           ::lgamma_r(real(n - i) + 1, &sign) + real(i) * std::log(q) +
           real(n - i) * std::log1p(-q);
  };
  double sum = 0, term = 1;  // relative to the first term
  for (std::uint64_t i = k; i <= n; ++i) {
    sum += term;
    const double ratio = real(n - i) / real(i + 1) * q / (1 - q);
    term *= ratio;
    if (ratio < 1 && term < 1e-17 * sum * (1 - ratio)) break;
  }
  // The logarithms of factorials cancel; each errs by some units in its last place.
  const double error = 16 * 0x1p-53 * ::lgamma_r(real(n) + 1, &sign) + 1e-12;
  return std::min(1.0, std::exp(log_term(k) + error) * sum);
}

double pld_epsilon(std::span<const LossStep> steps, Adjacency adjacency, double delta) {
  if (adjacency == Adjacency::kReplaceOne) return one_side(steps, LossSide::kReplace, delta);
  return std::max(one_side(steps, LossSide::kRemove, delta),
                  one_side(steps, LossSide::kAdd, delta));
}

}  // namespace muster::privacy
