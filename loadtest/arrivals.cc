#include "loadtest/arrivals.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace muster::loadtest {
namespace {

double seconds(Nanoseconds time) { return static_cast<double>(time) / kSecond; }

}  // namespace

double Rate::at(Nanoseconds since_start) const {
  const double t = seconds(since_start), day = seconds(period);
  switch (shape) {
    case Shape::kConstant:
      return from;
    case Shape::kRamp:
      return t >= day ? to : from + (to - from) * t / day;
    case Shape::kDiurnal:
      return from + (to - from) * (1 - std::cos(2 * std::numbers::pi * t / day)) / 2;
  }
  MUSTER_CHECK(false);
}

double Rate::expected(Nanoseconds since_start) const {
  const double t = seconds(since_start), day = seconds(period);
  switch (shape) {
    case Shape::kConstant:
      return from * t;
    case Shape::kRamp:
      return t >= day ? (from + to) / 2 * day + to * (t - day)
                      : from * t + (to - from) * t * t / (2 * day);
    case Shape::kDiurnal: {
      const double turn = 2 * std::numbers::pi / day;
      return from * t + (to - from) / 2 * (t - std::sin(turn * t) / turn);
    }
  }
  MUSTER_CHECK(false);
}

Arrivals::Arrivals(const Rate& rate, bool poisson, std::uint64_t seed)
    : rate_(rate), poisson_(poisson), random_(seed) {
  MUSTER_CHECK(rate.from >= 0 && rate.to >= 0);
  MUSTER_CHECK(rate.shape == Rate::Shape::kConstant ? rate.from > 0
                                                    : rate.period > 0 && rate.from + rate.to > 0);
  // A ramp down to nothing ends; nobody turns up after it.
  MUSTER_CHECK(rate.shape != Rate::Shape::kRamp || rate.to > 0);
}

Nanoseconds Arrivals::next() {
  // In the time that expected() counts, both processes have rate 1.
  devices_ += poisson_ ? -std::log1p(-random_.uniform()) : 1;
  return time_of(poisson_ ? devices_ : devices_ - 1);
}

Nanoseconds Arrivals::time_of(double devices) {
  // expected() only grows: a step that doubles finds an end, bisection the nanosecond.
  Nanoseconds low = last_, high = last_;
  for (Nanoseconds step = kMillisecond; rate_.expected(high) < devices; step *= 2) {
    low = high;
    high += step;
  }
  while (high - low > 1) {
    const Nanoseconds middle = low + (high - low) / 2;
    (rate_.expected(middle) < devices ? low : high) = middle;
  }
  return last_ = std::max(last_, high);
}

}  // namespace muster::loadtest
