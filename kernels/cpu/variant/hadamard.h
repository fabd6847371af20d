// The fast Walsh-Hadamard transform and what needs it: EDEN rows back to values, sums of rotated
// coordinates back to the model's.
//
// Stage s of log2 adds and subtracts coordinates that differ in bit s only: (a, b) -> (a + b, a -
// b). Stages run from bit 0 up, each addition rounded once, so the result is one on every level. A
// rotation of 2^16 f32 values stays in the second cache level over its 16 stages.
#pragma once

#include "kernels/cpu/table.h"
#include "kernels/cpu/variant/unpack.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Stages of the first kHadamardTile coordinates, in one visit.
constexpr unsigned kLog2HadamardTile = 4;
constexpr size_t kHadamardTile = size_t{1} << kLog2HadamardTile;

/// One stage over a tile, with distance kStep: every index is a constant.
template <size_t kStep, class T>
MUSTER_CELL void tile_stage(T* v) {
  T next[kHadamardTile];
  for (size_t k = 0; k < kHadamardTile; ++k)
    next[k] = (k & kStep) == 0 ? v[k] + v[k | kStep] : v[k ^ kStep] - v[k];
  for (size_t k = 0; k < kHadamardTile; ++k) v[k] = next[k];
}

template <class T>
void hadamard_stage(T* __restrict low, T* __restrict high, size_t step) {
  for (size_t k = 0; k < step; ++k) {
    const T a = low[k], b = high[k];
    low[k] = a + b;
    high[k] = a - b;
  }
}

/// Two stages, of distances `step` and 2 * step, in one visit: half the traffic.
template <class T>
void hadamard_stages(T* __restrict v0, T* __restrict v1, T* __restrict v2, T* __restrict v3,
                     size_t step) {
  for (size_t k = 0; k < step; ++k) {
    const T a = v0[k] + v1[k], b = v0[k] - v1[k];
    const T c = v2[k] + v3[k], d = v2[k] - v3[k];
    v0[k] = a + c;
    v1[k] = b + d;
    v2[k] = a - c;
    v3[k] = b - d;
  }
}

/// values = H values, in place; 2^log2_length of them.
template <class T>
void hadamard(T* values, unsigned log2_length) {
  const size_t length = size_t{1} << log2_length;
  size_t step = 1;
  if (length >= kHadamardTile) {
    for (T* v = values; v < values + length; v += kHadamardTile) {
      tile_stage<1>(v);
      tile_stage<2>(v);
      tile_stage<4>(v);
      tile_stage<8>(v);
    }
    step = kHadamardTile;
  }
  for (; 2 * step < length; step *= 4)
    for (T* v = values; v < values + length; v += 4 * step)
      hadamard_stages(v, v + step, v + 2 * step, v + 3 * step, step);
  if (step < length)
    for (T* v = values; v < values + length; v += 2 * step) hadamard_stage(v, v + step, step);
}

/// x, or -x where bit k of the signs is set.
MUSTER_CELL float with_sign(float x, const uint64_t* signs, size_t k) {
  const uint32_t flip = static_cast<uint32_t>(signs[k / 64] >> (k % 64)) << 31;
  return cell::float_of(cell::bits_of(x) ^ flip);
}

void expand_eden(const EdenView& view, float* values) {
  constexpr size_t kStrip = 512;
  alignas(64) uint8_t codes[kStrip];
  const size_t length = size_t{1} << view.log2_length;
  const uint8_t* indices = reinterpret_cast<const uint8_t*>(view.indices);
  for (size_t k = 0; k < length; k += kStrip) {
    const size_t count = length - k < kStrip ? length - k : kStrip;
    unpack_codes(indices, view.bits, view.begin + k, count, codes);
    for (size_t j = 0; j < count; ++j) values[k + j] = view.centroids[codes[j]];
  }
  hadamard(values, view.log2_length);
  for (size_t k = 0; k < view.count; ++k)
    values[k] = with_sign(values[k] * view.scale, view.signs, k);
}

void unrotate(const UnrotateView& view, double* scratch) {
  const size_t length = size_t{1} << view.log2_length;
  for (size_t k = 0; k < length; ++k) scratch[k] = static_cast<double>(view.sums[k]);
  hadamard(scratch, view.log2_length);
  // 1 / sqrt(2^log2): exact for even log2, else one rounding of 1 / sqrt(2).
  const double half = (view.log2_length & 1) != 0 ? 0x1.6a09e667f3bcdp-1 : 1.0;
  const double scale = half / static_cast<double>(size_t{1} << (view.log2_length / 2));
  for (size_t k = 0; k < view.count; ++k) {
    const bool flip = (view.signs[k / 64] >> (k % 64) & 1) != 0;
    view.target[k] = cell::round_even(scratch[k] * (flip ? -scale : scale));
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
