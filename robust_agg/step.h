// The server step: how an aggregate moves the model (Reddi et al. 2021, "Adaptive Federated
// Optimization", algorithm 2).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/backend.h"
#include "robust_agg/aggregate.h"

namespace muster::robust {

struct StepParameters {
  kernels::Optimiser optimiser = kernels::Optimiser::kSgd;
  double learning_rate = 1;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-3;
};

/// "sgd", "momentum", "adam", "yogi", "adagrad".
std::string_view optimiser_name(kernels::Optimiser optimiser);
std::optional<kernels::Optimiser> parse_optimiser(std::string_view name);
/// Ranges: learning_rate > 0, betas in [0, 1), epsilon > 0; all finite. Else
/// "step_parameter".
Status check(const StepParameters& parameters);

/// A model with its optimiser state, on the host. Empty moments belong to a fresh model: zeros, but
/// epsilon^2 for the second moment of Yogi and Adagrad (their first step must be bounded).
struct ModelState {
  std::vector<float> values;
  std::vector<float> first;   ///< all but SGD
  std::vector<float> second;  ///< Adam, Yogi, Adagrad
  /// What aggregate() takes as `previous` in the next round; empty: the zero vector. Kept for rules
  /// with uses_previous() and stored with the model, for it cannot be had from the values alone.
  std::vector<float> aggregate;
  /// Exponents that devices training from this version quantise with, one a block, where a task's
  /// shared scales follow the updates; empty: those of its configuration.
  std::vector<std::int8_t> scale_exponents;
};

/// Applies the aggregate `sum` (backend memory) to `state`. Uses one backend buffer per vector for
/// the length of the call (and one more for `aggregate`). "model_not_finite" (state unchanged)
/// where a coordinate would leave f32.
Status apply_step(kernels::Backend& backend, const StepParameters& parameters, const Plan& plan,
                  const Outcome& outcome, const std::int64_t* sum, ModelState& state);

}  // namespace muster::robust
