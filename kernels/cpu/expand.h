// Decoding that needs a whole chunk at once, on the workers of the CPU backend.
#pragma once

#include <span>

#include "kernels/backend.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/table.h"
#include "kernels/cpu/workers.h"

namespace muster::kernels {

/// What the functions work with.
struct ExpandParts {
  const KernelTable& kernels;
  Workers& workers;
  std::span<Scratch> scratch;  ///< one a worker
};

/// Scratch of one worker: a rotation in f64, and its signs.
constexpr std::size_t kRotationScratchBytes =
    (std::size_t{1} << kMaxLog2Rotation) * (sizeof(double) + 1) / 8 * 8;

/// As Backend::expand and Backend::restore.
void expand(const ExpandParts& parts, const ExpandJob& job);
void restore(const ExpandParts& parts, const RestoreJob& job);

}  // namespace muster::kernels
