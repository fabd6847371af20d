// The noise of one private round: fresh, or correlated with that of earlier rounds.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "privacy/correlated_noise.h"
#include "privacy/grid.h"
#include "privacy/secret.h"
#include "server/noise_memory.h"

namespace muster::server {

/// What a BLT release needs beside its own key.
struct BltRound {
  const NoiseMemory& memory;  ///< outlives the round
  privacy::Blt blt;
  std::uint64_t before = 0;                        ///< release whose memory is gone on from
  std::optional<privacy::Secret> before_key = {};  ///< of that memory; none for release 0
  /// Noise keys of what was charged since and never released, in order: their noise counts.
  std::vector<privacy::Secret> unreleased = {};
  std::uint64_t release = 0;
  std::optional<privacy::Secret> memory_key = {};  ///< of the memory that this release leaves
};

/// Every vector is drawn once a round (privacy/keys.h).
class RoundNoise {
 public:
  explicit RoundNoise(privacy::Secret key) : key_(std::move(key)) {}

  /// Tree aggregation: the nodes that this release no longer holds.
  void take_back(privacy::Secret key) { dropped_.push_back(std::move(key)); }
  /// BLT: kReleaseVector is filtered by the memory of earlier rounds, which moves on.
  void filter(BltRound round) { blt_.emplace(std::move(round)); }

  /// Adds vector `vector` to d sums in backend memory. The memory that the release leaves is on
  /// disk when this returns OK.
  Status add(kernels::Backend& backend, std::uint32_t vector, const privacy::NoiseGrid& grid,
             std::int64_t* sum, std::size_t d) const;

 private:
  Status add_filtered(kernels::Backend& backend, const privacy::NoiseGrid& grid,
                      std::int64_t* sum) const;

  privacy::Secret key_;
  std::vector<privacy::Secret> dropped_;
  std::optional<BltRound> blt_;
};

}  // namespace muster::server
