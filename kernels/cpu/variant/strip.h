// A strip: consecutive coordinates of one row, decoded where the first cache level holds them.
#pragma once

#include <string.h>

#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// The int8 codes of a row, and the scale of each block.
struct IntegerRow {
  const float* scales;
  const int8_t* codes;
};

MUSTER_CELL IntegerRow integer_row(const ChunkView& view, size_t row) {
  const std::byte* data = view.rows[row];
  if (view.coding == cell::Coding::kI8S)
    return {view.shared_scales, reinterpret_cast<const int8_t*>(data)};
  const size_t blocks = (view.d + (size_t{1} << view.log2_block) - 1) >> view.log2_block;
  return {reinterpret_cast<const float*>(data),
          reinterpret_cast<const int8_t*>(data + blocks * sizeof(float))};
}

/// End of the run of equal scale that holds coordinate k, at most `end`.
MUSTER_CELL size_t run_end(const ChunkView& view, size_t k, size_t end) {
  const size_t next = ((k >> view.log2_block) + 1) << view.log2_block;
  return next < end ? next : end;
}

MUSTER_CELL void decode_run(float scale, const int8_t* codes, size_t count, float* values) {
  for (size_t k = 0; k < count; ++k) values[k] = cell::decode_i8(scale, codes[k]);
}
MUSTER_CELL void decode_run(float scale, const int8_t* codes, size_t count, double* values) {
  for (size_t k = 0; k < count; ++k) values[k] = cell::decode_i8_exact(scale, codes[k]);
}

/// values[k] = coordinate begin + k of the row, k < count: as f32, or as the exact f64 (decode.h).
template <class T>
void decode_strip(const ChunkView& view, size_t row, size_t begin, size_t count,
                  T* __restrict values) {
  const std::byte* data = view.rows[row];
  switch (view.coding) {
    case cell::Coding::kF32: {
      const float* source = reinterpret_cast<const float*>(data) + begin;
      for (size_t k = 0; k < count; ++k) values[k] = static_cast<T>(source[k]);
      return;
    }
    case cell::Coding::kF16: {
      const uint16_t* source = reinterpret_cast<const uint16_t*>(data) + begin;
      for (size_t k = 0; k < count; ++k) values[k] = static_cast<T>(cell::decode_f16(source[k]));
      return;
    }
    case cell::Coding::kBF16: {
      const uint16_t* source = reinterpret_cast<const uint16_t*>(data) + begin;
      for (size_t k = 0; k < count; ++k) values[k] = static_cast<T>(cell::decode_bf16(source[k]));
      return;
    }
    case cell::Coding::kI8B:
    case cell::Coding::kI8S: {
      const IntegerRow codes = integer_row(view, row);
      const size_t end = begin + count;
      for (size_t k = begin; k < end;) {
        const size_t stop = run_end(view, k, end);
        decode_run(codes.scales[k >> view.log2_block], codes.codes + k, stop - k,
                   values + (k - begin));
        k = stop;
      }
      return;
    }
  }
}

/// Zeros after the strip, up to `padded`.
template <class T>
MUSTER_CELL void pad_strip(T* values, size_t count, size_t padded) {
  for (size_t k = count; k < padded; ++k) values[k] = 0;
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
