// The order of every f64 sum: norms, Gram entries, distances. Changing a constant here changes
// results, as changing a wire format would.
//
// A chunk is cut into blocks of kBlock coordinates. Within a block of a float codec coordinate k
// belongs to lane k mod kLanes; a lane adds its products in ascending k, from +0; the lanes fold by
// halving (lane l takes lane l + 16, then l + 8, ...). Within a block of an integer codec each run
// of coordinates that share a scale gives an exact integer, which is multiplied by the exact
// product of the scales, rounded once and added in ascending order, from +0. Blocks then add in
// ascending order: to +0 for the norm of a chunk, to what is there for Gram entries and distances.
//
// Estimated Gram entries are no part of this: chains of kEstimateChain fused f32 products in
// ascending k, added in f32 over blocks of kEstimateDepth coordinates, which add in f64; all from
// +0 in ascending order. Their diagonal: lanes of f64 as above, over those blocks.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::canonical {

constexpr size_t kBlock = 4096;
constexpr size_t kLanes = 32;  ///< a warp; four vectors of eight
constexpr size_t kEstimateDepth = 512;
constexpr size_t kEstimateChain = 128;

MUSTER_CELL constexpr size_t block_count(size_t d) { return (d + kBlock - 1) / kBlock; }
/// Coordinates of a block, padded to whole rounds of lanes: zeros at the end change no sum.
MUSTER_CELL constexpr size_t padded(size_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

MUSTER_CELL double fold(double* lanes) {
  for (size_t width = kLanes / 2; width > 0; width /= 2)
    for (size_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}

}  // namespace muster::kernels::canonical
