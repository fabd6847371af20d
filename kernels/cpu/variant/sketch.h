// Rows folded into few cells: strips are decoded in the first cache level, and each block of 64
// coordinates is added, with its signs, to where its place says. Reads each code once; a row's
// cells are read and written once a block, and 4096 of them stay in the first cache level or next
// to it.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kSketchStrip = 2048;
constexpr size_t kFold = 64;  ///< kSketchBlock of backend.h

/// Adds `count` values, at most 32, to as many cells; value k is negated where bit k says so.
MUSTER_CELL void fold_lanes(const float* __restrict values, size_t count, uint32_t signs,
                            float scale, int64_t* __restrict cells) {
  for (size_t k = 0; k < count; ++k)
    cells[k] += cell::to_sketch_units(values[k], scale, signs << (31 - k));
}

/// A whole block: lengths the compiler knows.
void fold_block(const float* __restrict values, uint64_t signs, float scale,
                int64_t* __restrict cells) {
  fold_lanes(values, 32, static_cast<uint32_t>(signs), scale, cells);
  fold_lanes(values + 32, 32, static_cast<uint32_t>(signs >> 32), scale, cells + 32);
}

/// What is left of the last one.
void fold_rest(const float* values, size_t count, uint64_t signs, float scale, int64_t* cells) {
  for (size_t k = 0; k < count; ++k)
    cells[k] += cell::to_sketch_units(values[k], scale, static_cast<uint32_t>(signs >> k) << 31);
}

void sketch(const ChunkView& view, const SketchView& job, size_t begin, size_t end) {
  alignas(64) float values[kSketchStrip];
  for (size_t row = begin; row < end; ++row) {
    int64_t* cells = job.target + row * job.cells;
    for (size_t k = 0; k < view.d; k += kSketchStrip) {
      const size_t count = view.d - k < kSketchStrip ? view.d - k : kSketchStrip;
      decode_strip(view, row, k, count, values);
      for (size_t at = 0; at < count; at += kFold) {
        const size_t block = (k + at) / kFold;
        int64_t* place = cells + job.places[block];
        if (count - at >= kFold)
          fold_block(values + at, job.signs[block], job.scale, place);
        else
          fold_rest(values + at, count - at, job.signs[block], job.scale, place);
      }
    }
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
