// Whole rounds of a server in one thread (tests/sim) on any backend, from a seed.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "base/simulated_storage.h"
#include "tests/sim/sim_node.h"

namespace muster::sim {

/// A task's lines beside its size: codec and rule.
struct Work {
  const char* name;
  const char* lines;
  std::uint32_t devices = 9;
  std::uint64_t dimension = 700;
  std::uint32_t chunk = 192;  ///< coordinates: four chunks, the last one short
  /// Lines of [privacy] beside whom it learns from and what may be spent; null: it is not private.
  const char* privacy = nullptr;
  std::uint32_t max_weight = 3;
};
inline void PrintTo(const Work& work, std::ostream* out) { *out << work.name; }

/// From now on this process draws its secrets from `seed`: two nodes booted after the same call
/// have the same.
void seed_secrets(std::uint64_t seed);

/// Options of a node with that one task. `rounds` releases, on `backend`.
SimOptions options_of(const Work& work, const std::string& backend, unsigned rounds = 2);

/// Plays rounds until the task has made all of them: every device sends its update of each round in
/// an order drawn from `seed`, with a few commits between. What a device got a receipt for it does
/// not send again.
Status play(SimNode& node, std::uint64_t seed);

/// The hash of the last released model of a task that `play` brought to its end.
Sha256 release_of(SimNode& node, unsigned rounds = 2);

/// Boots on an empty disk, plays, and returns the last release.
Sha256 undisturbed_release(const SimOptions& options, std::uint64_t seed, unsigned rounds = 2);

}  // namespace muster::sim
