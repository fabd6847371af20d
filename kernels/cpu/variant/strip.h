// A strip: consecutive coordinates of one row, decoded where the first cache level holds them.
#pragma once

#include <string.h>

#include "kernels/cpu/table.h"
#include "kernels/cpu/variant/unpack.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// The scale of each block of a row of an integer codec, and its codes: one a byte for int8, packed
/// for the others (see code_strip).
struct IntegerRow {
  const float* scales;
  const int8_t* codes;
};

MUSTER_CELL size_t block_count(const ChunkView& view) {
  return (view.d + (size_t{1} << view.log2_block) - 1) >> view.log2_block;
}

MUSTER_CELL IntegerRow integer_row(const ChunkView& view, size_t row) {
  const std::byte* data = view.rows[row];
  if (cell::shares_scales(view.coding))
    return {view.shared_scales, reinterpret_cast<const int8_t*>(data)};
  return {reinterpret_cast<const float*>(data),
          reinterpret_cast<const int8_t*>(data + block_count(view) * sizeof(float))};
}

/// The codes of coordinates [begin, begin + count) of a row, one a byte: where they lie for int8,
/// else unpacked into `buffer` (room for count + 1). `begin` is a multiple of 8.
MUSTER_CELL const int8_t* code_strip(const ChunkView& view, const IntegerRow& row, size_t begin,
                                     size_t count, int8_t* buffer) {
  if (view.coding == cell::Coding::kI4B || view.coding == cell::Coding::kI4S)
    return unpack_nibbles(row.codes + begin / 2, count, buffer);
  if (view.coding == cell::Coding::kSign1)
    return unpack_signs(row.codes + begin / 8, count, buffer);
  return row.codes + begin;
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

/// Coordinates unpacked at a time.
constexpr size_t kUnpackStrip = 512;

template <class T>
void decode_integers(const ChunkView& view, size_t row, size_t begin, size_t count,
                     T* __restrict values) {
  alignas(64) int8_t buffer[kUnpackStrip + 1];
  const IntegerRow codes = integer_row(view, row);
  // int8 codes are read where they lie, in one piece.
  const bool packed = view.coding > cell::Coding::kI8S;
  const size_t most = packed ? kUnpackStrip : count;
  for (size_t at = 0; at < count; at += most) {
    const size_t end = begin + (count - at < most ? count : at + most);
    const int8_t* strip = code_strip(view, codes, begin + at, end - (begin + at), buffer);
    for (size_t k = begin + at; k < end;) {
      const size_t stop = run_end(view, k, end);
      decode_run(codes.scales[k >> view.log2_block], strip + (k - begin - at), stop - k,
                 values + (k - begin));
      k = stop;
    }
  }
}

template <class T>
void decode_hsq(const ChunkView& view, size_t row, size_t begin, size_t count,
                T* __restrict values) {
  alignas(64) uint8_t codes[kUnpackStrip];
  const float* heads = reinterpret_cast<const float*>(view.rows[row]);
  const uint8_t* packed = reinterpret_cast<const uint8_t*>(heads + 2 * block_count(view));
  for (size_t at = 0; at < count; at += kUnpackStrip) {
    const size_t first = begin + at;
    const size_t end = count - at < kUnpackStrip ? begin + count : first + kUnpackStrip;
    unpack_codes(packed, view.bits, first, end - first, codes);
    for (size_t k = first; k < end;) {
      const size_t stop = run_end(view, k, end);
      const float* head = heads + 2 * (k >> view.log2_block);
      for (; k < stop; ++k)
        values[k - begin] = static_cast<T>(cell::hsq_level(head[0], head[1], codes[k - first]));
    }
  }
}

/// values[k] = coordinate begin + k of the row, k < count: as f32, or as the exact f64 (decode.h).
/// `begin` is a multiple of 8.
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
    case cell::Coding::kI8S:
    case cell::Coding::kI4B:
    case cell::Coding::kI4S:
    case cell::Coding::kSign1:
      return decode_integers(view, row, begin, count, values);
    case cell::Coding::kHsq:
      return decode_hsq(view, row, begin, count, values);
  }
}

/// Rows asked for ahead of the one that is read. As many pieces as a core has requests under way;
/// more would push each other out of the second cache level where rows lie a power of two apart.
constexpr size_t kRowsAhead = 16;

/// Asks for coordinates [begin, end) of a row of the coding: into the second cache level, which has
/// more requests under way than the first. Codes shorter than a byte are not worth the wait.
MUSTER_CELL void prefetch_row(const ChunkView& view, cell::Coding coding, size_t row, size_t begin,
                              size_t end) {
  size_t bytes = 0;
  const std::byte* data = view.rows[row];
  switch (coding) {
    case cell::Coding::kF32:
      bytes = 4;
      break;
    case cell::Coding::kF16:
    case cell::Coding::kBF16:
      bytes = 2;
      break;
    case cell::Coding::kI8B:
    case cell::Coding::kI8S:
      bytes = 1;
      data = reinterpret_cast<const std::byte*>(integer_row(view, row).codes);
      break;
    case cell::Coding::kI4B:
    case cell::Coding::kI4S:
    case cell::Coding::kSign1:
    case cell::Coding::kHsq:
      return;
  }
  for (size_t at = begin * bytes; at < end * bytes; at += 64) __builtin_prefetch(data + at, 0, 2);
}

/// Zeros after the strip, up to `padded`.
template <class T>
MUSTER_CELL void pad_strip(T* values, size_t count, size_t padded) {
  for (size_t k = count; k < padded; ++k) values[k] = 0;
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
