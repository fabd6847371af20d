// The server's half of a round, without sockets: updates encoded as a device encodes them, the real
// rule on the real CPU backend, the real server step.
#pragma once

#include <memory>

#include "client/client.h"
#include "robust_agg/step.h"
#include "tests/learning/attacks.h"
#include "tests/learning/recipe.h"

namespace muster::learning {

class Server {
 public:
  /// One thread; fails where this build does not know the recipe.
  static Result<Server> create(const Recipe& recipe, Codec codec, double learning_rate,
                               std::vector<float> model);

  std::span<const float> model() const { return state_.values; }
  /// One round with `updates` (deltas, kClients of them): the model after it. `seed`: of rounding
  /// and of the ranks that break ties. Values beyond what a task allows are clamped by the encoder.
  Status round(const Rows& updates, std::uint64_t seed);

 private:
  Server(std::unique_ptr<kernels::Backend> backend, robust::Plan plan, double learning_rate,
         std::vector<float> model);

  std::unique_ptr<kernels::Backend> backend_;
  robust::Plan plan_;
  robust::StepParameters step_;
  robust::ModelState state_;
  wire::Assignment assignment_;
};

}  // namespace muster::learning
