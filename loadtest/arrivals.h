// When devices turn up. An open model: the times follow from the scenario alone and never from how
// fast the server answers, so a slow server cannot hide behind devices that wait for it.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "client/random.h"

namespace muster::loadtest {

/// Devices per second over the time since the start.
struct Rate {
  enum class Shape : std::uint8_t {
    kConstant,  ///< `from`
    kRamp,      ///< linear from `from` to `to` over `period`, then `to`
    kDiurnal,   ///< a day of `period`: between `from` (midnight) and `to` (noon), a raised cosine
  };
  Shape shape = Shape::kConstant;
  double from = 0, to = 0;  ///< at least 0 and not both 0
  Nanoseconds period = 0;   ///< above 0 unless constant

  double at(Nanoseconds since_start) const;
  /// Devices expected in [0, since_start): the integral of at().
  double expected(Nanoseconds since_start) const;
};

/// The times of one fleet, ascending. Evenly spaced in expectation (device k turns up when
/// expected() passes k), or a Poisson process with that intensity.
class Arrivals {
 public:
  Arrivals(const Rate& rate, bool poisson, std::uint64_t seed);
  /// Nanoseconds since the start.
  Nanoseconds next();

 private:
  /// The time at which expected() reaches `devices`.
  Nanoseconds time_of(double devices);

  Rate rate_;
  bool poisson_;
  client::Random random_;
  double devices_ = 0;
  Nanoseconds last_ = 0;
};

}  // namespace muster::loadtest
