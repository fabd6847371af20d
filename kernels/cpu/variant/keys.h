// Keys of a tile: unsigned integers that order as the coordinates of each codec do, as narrow as
// the codec allows, and the way back to grid units.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cell/key.h"
#include "kernels/cpu/variant/bits.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr uint32_t kTopBit32 = 0x80000000u;
constexpr uint16_t kTopBit16 = 0x8000u;

/// How a codec's coordinates are kept in a tile: as Stored, which compares as the coordinates do
/// and is value(stored) as a number. slice_group() makes unsigned keys of them, and stored(key) is
/// the way back; from_wire(bits) makes a vector of them of coordinates as they are sent, where
/// these are as wide.
template <cell::Coding kCoding>
struct StoredAs {
  using Stored = float;  ///< -0 may come right before +0: they are the same on the grid
  using Key = uint32_t;
  MUSTER_CELL static float before_all() { return cell::float_of(0xff800000u); }
  MUSTER_CELL static float past_all() { return cell::float_of(cell::kInfinityBits); }
  MUSTER_CELL static float value(float x) { return x; }
  MUSTER_CELL static float from_wire(float x) { return x; }
  MUSTER_CELL static Bits from_wire(Bits x) { return x; }
  /// The halves of keys, of the halves of values; the lower ones depend on the sign in the upper.
  MUSTER_CELL static Bits upper_keys(Bits upper) { return upper ^ (signs(upper) | 0x80008000u); }
  MUSTER_CELL static Bits lower_keys(Bits lower, Bits upper) { return lower ^ signs(upper); }
  MUSTER_CELL static Bits signs(Bits upper) {
    using Signed [[gnu::vector_size(kVectorBytes)]] = int16_t;
    return reinterpret_cast<Bits>(reinterpret_cast<Signed>(upper) >> 15);
  }
  MUSTER_CELL static float stored(uint32_t key) {
    return cell::value_of(static_cast<int32_t>(key ^ kTopBit32));
  }
};
struct StoredAsHalf {
  using Stored = uint16_t;
  using Key = uint16_t;
  MUSTER_CELL static uint16_t before_all() { return 0; }
  MUSTER_CELL static uint16_t past_all() { return 0xffff; }
  MUSTER_CELL static uint16_t from_wire(uint16_t x) { return cell::ordered_half(x); }
  MUSTER_CELL static Bits from_wire(Bits x) {
    using Halves [[gnu::vector_size(kVectorBytes)]] = uint16_t;
    const Halves bits = reinterpret_cast<Halves>(x);
    const Halves number = bits == kTopBit16 ? Halves{} : bits;
    const Halves above = Halves{} + kTopBit16, below = ~Halves{};
    return reinterpret_cast<Bits>(number ^ ((number & kTopBit16) != 0 ? below : above));
  }
  MUSTER_CELL static uint16_t stored(uint16_t key) { return key; }
};
template <>
struct StoredAs<cell::Coding::kF16> : StoredAsHalf {
  MUSTER_CELL static float value(uint16_t key) { return cell::decode_f16(cell::half_of(key)); }
};
template <>
struct StoredAs<cell::Coding::kBF16> : StoredAsHalf {
  MUSTER_CELL static float value(uint16_t key) { return cell::decode_bf16(cell::half_of(key)); }
};
template <>
struct StoredAs<cell::Coding::kI8S> {
  using Stored = int8_t;
  using Key = uint8_t;  ///< code + 128
  MUSTER_CELL static int8_t before_all() { return -128; }
  MUSTER_CELL static int8_t past_all() { return 127; }
  MUSTER_CELL static int8_t from_wire(int8_t x) { return x; }
  MUSTER_CELL static Bits from_wire(Bits x) { return x; }
  MUSTER_CELL static int8_t stored(uint8_t key) { return static_cast<int8_t>(key - 128); }
};

/// Stands for all codecs whose codes are shorter than a byte: their tiles hold values.
constexpr cell::Coding kPacked = cell::Coding::kI4B;

/// stored[k] = coordinate begin + k of the row, k < count.
template <cell::Coding kCoding>
MUSTER_CELL void load_row(const ChunkView& view, size_t row, size_t begin, size_t count,
                          typename StoredAs<kCoding>::Stored* __restrict stored) {
  const std::byte* data = view.rows[row];
  if constexpr (kCoding == cell::Coding::kF32) {
    const float* source = reinterpret_cast<const float*>(data) + begin;
    for (size_t k = 0; k < count; ++k) stored[k] = source[k];
  } else if constexpr (kCoding == cell::Coding::kF16 || kCoding == cell::Coding::kBF16) {
    const uint16_t* source = reinterpret_cast<const uint16_t*>(data) + begin;
    for (size_t k = 0; k < count; ++k) stored[k] = cell::ordered_half(source[k]);
  } else if constexpr (kCoding == cell::Coding::kI8B) {
    const IntegerRow codes = integer_row(view, row);
    for (size_t k = begin; k < begin + count;) {
      const size_t stop = run_end(view, k, begin + count);
      const float scale = codes.scales[k >> view.log2_block];
      const int8_t* source = codes.codes + k;
      float* target = stored + (k - begin);
      for (size_t j = 0; j < stop - k; ++j) target[j] = cell::decode_i8(scale, source[j]);
      k = stop;
    }
  } else if constexpr (kCoding == kPacked) {
    decode_strip(view, row, begin, count, stored);
  } else {
    static_assert(kCoding == cell::Coding::kI8S);
    memcpy(stored, data + begin, count);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
