// One training under one attack and one rule.
#pragma once

#include "tests/learning/digits.h"
#include "tests/learning/server.h"

namespace muster::learning {

/// What all runs of a table have in common.
struct Settings {
  std::uint32_t rounds = 600;
  std::size_t batch = 32;  ///< pictures a client and round
  double learning_rate = 0.2;
  Codec codec = Codec::kF32;
  std::uint64_t seed = 1;
};

/// One cell of the table.
struct Cell {
  Split split = Split::kIid;
  double momentum = 0;  ///< of the workers: m = momentum m + (1 - momentum) gradient
  Attack attack = Attack::kNone;
  Recipe recipe;

  /// "sorted, momentum 0.9, IPM, krum".
  std::string name() const;
  bool operator==(const Cell&) const = default;
};
std::string_view split_name(Split split);

/// Held-out accuracy in [0, 1], the mean of five evaluations over the last tenth of the rounds. The
/// last kHostile of kClients are hostile; the honest ones share all of the training data, so that
/// what is lost is the rule's doing. Same settings, cell and CPU: the same value. A Status where
/// this build does not know the recipe or the rule refuses.
Result<double> learn(const Settings& settings, const Cell& cell, const Data& data);

}  // namespace muster::learning
