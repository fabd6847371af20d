// A point among the rows to take a Gram matrix around, so that a cohort of rows that are much alike
// keeps its digits; inside this room only.
#pragma once

#include <cstdint>
#include <vector>

#include "robust_agg/buffer.h"
#include "robust_agg/execution.h"

namespace muster::robust {

/// The coordinate-wise median of a few rows that a secret picks (their ranks), one chunk at a time,
/// in backend memory. A sample an attacker drags costs time, never exactness.
class Centre {
 public:
  static Result<Centre> create(const Execution& run);
  /// f32, one a coordinate of the chunk; valid until the next call.
  Result<const float*> of_chunk(const Execution& run, std::uint32_t index);

 private:
  Centre(ScopedBuffer sum, ScopedBuffer values)
      : sum_(std::move(sum)), values_(std::move(values)) {}

  ScopedBuffer sum_, values_;
  std::vector<std::uint32_t> sample_;
};

}  // namespace muster::robust
