// The noise of one private round: fresh, or correlated with that of earlier rounds.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "privacy/correlated_noise.h"
#include "privacy/grid.h"
#include "privacy/secret.h"

namespace muster::server {

/// Every vector is drawn once a round (privacy/keys.h).
class RoundNoise {
 public:
  explicit RoundNoise(privacy::Secret key) : key_(std::move(key)) {}

  /// Tree aggregation: the nodes that this release no longer holds.
  void take_back(privacy::Secret key) { dropped_.push_back(std::move(key)); }
  /// BLT: kReleaseVector goes through the filter, which moves on. It outlives this.
  void filter_by(privacy::BltFilter& filter) { filter_ = &filter; }

  /// Adds vector `vector` to d sums in backend memory.
  Status add(kernels::Backend& backend, std::uint32_t vector, const privacy::NoiseGrid& grid,
             std::int64_t* sum, std::size_t d) const;

 private:
  privacy::Secret key_;
  std::vector<privacy::Secret> dropped_;
  privacy::BltFilter* filter_ = nullptr;
};

}  // namespace muster::server
