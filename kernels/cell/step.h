// Server optimisers, one coordinate (Reddi et al. 2021, algorithm 2). f64 inside, f32 stored; what
// is stored is rounded, what is used further is not.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

struct StepRates {
  double scale;  ///< of a grid sum: step of the grid / divisor
  double learning_rate, beta1, beta2, epsilon;
};

MUSTER_CELL float sgd_step(const StepRates& rates, int64_t sum, float model) {
  const double delta = to_double(sum) * rates.scale;
  return static_cast<float>(static_cast<double>(model) + rates.learning_rate * delta);
}

MUSTER_CELL float momentum_step(const StepRates& rates, int64_t sum, float model, float& first) {
  const double delta = to_double(sum) * rates.scale;
  const double moment = rates.beta1 * static_cast<double>(first) + delta;
  first = static_cast<float>(moment);
  return static_cast<float>(static_cast<double>(model) + rates.learning_rate * moment);
}

/// How the second moment follows the squared deltas; the rest of the adaptive optimisers is one.
enum class SecondMoment { kAdam, kYogi, kAdagrad };

template <SecondMoment kKind>
MUSTER_CELL double next_second(const StepRates& rates, double second, double square) {
  if constexpr (kKind == SecondMoment::kAdam) {
    return rates.beta2 * second + (1 - rates.beta2) * square;
  } else if constexpr (kKind == SecondMoment::kYogi) {
    const double sign = (second > square ? 1.0 : 0.0) - (second < square ? 1.0 : 0.0);
    return second - (1 - rates.beta2) * square * sign;
  } else {
    return second + square;
  }
}

template <SecondMoment kKind>
MUSTER_CELL float adaptive_step(const StepRates& rates, int64_t sum, float model, float& first,
                                float& second) {
  const double delta = to_double(sum) * rates.scale;
  const double moment = rates.beta1 * static_cast<double>(first) + (1 - rates.beta1) * delta;
  const double square = next_second<kKind>(rates, static_cast<double>(second), delta * delta);
  first = static_cast<float>(moment);
  second = static_cast<float>(square);
  return static_cast<float>(static_cast<double>(model) +
                            rates.learning_rate * moment /
                                (__builtin_sqrt(square) + rates.epsilon));
}

}  // namespace muster::kernels::cell
