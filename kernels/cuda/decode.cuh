// From rows of codes to values, in registers.
//
// A thread takes a group: as many neighbouring coordinates as one 4-byte word holds (four int8, two
// f16, one f32), eight where codes are half bytes, eight of a byte of signs. Rows are 4-byte
// aligned and no more, so words are the widest loads that are always legal; a warp that takes
// neighbouring groups reads whole sectors either way, and loads of several rows are in flight
// together.
#pragma once

#include "kernels/cuda/codes.h"

namespace muster::kernels::cuda {

using cell::Coding;

/// Coordinates of a group.
template <Coding kCoding>
inline constexpr unsigned kGroup = kCoding == Coding::kF32 || kCoding == Coding::kHsq    ? 1
                                   : kCoding == Coding::kF16 || kCoding == Coding::kBF16 ? 2
                                   : kCoding == Coding::kI8B || kCoding == Coding::kI8S  ? 4
                                                                                         : 8;

/// Calls use(std::integral_constant-like tag) for the coding: tag.value is a constant.
template <Coding kCoding>
struct CodingTag {
  static constexpr Coding value = kCoding;
};
template <class Use>
void with_coding(Coding coding, const Use& use) {
  switch (coding) {
    case Coding::kF32:
      return use(CodingTag<Coding::kF32>{});
    case Coding::kF16:
      return use(CodingTag<Coding::kF16>{});
    case Coding::kBF16:
      return use(CodingTag<Coding::kBF16>{});
    case Coding::kI8B:
      return use(CodingTag<Coding::kI8B>{});
    case Coding::kI8S:
      return use(CodingTag<Coding::kI8S>{});
    case Coding::kI4B:
      return use(CodingTag<Coding::kI4B>{});
    case Coding::kI4S:
      return use(CodingTag<Coding::kI4S>{});
    case Coding::kSign1:
      return use(CodingTag<Coding::kSign1>{});
    case Coding::kHsq:
      return use(CodingTag<Coding::kHsq>{});
  }
}

/// Whether the caller knows that a group lies before the end of the row.
template <bool kWhole>
struct Whole {
  static constexpr bool value = kWhole;
};

/// Where the codes of a row begin: after its scales, where it brings its own.
template <Coding kCoding>
__device__ __forceinline__ const uint8_t* row_codes(const CodesView& codes, const std::byte* row) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(row);
  if constexpr (kCoding == Coding::kI8B || kCoding == Coding::kI4B || kCoding == Coding::kSign1)
    return bytes + codes.blocks * sizeof(float);
  else if constexpr (kCoding == Coding::kHsq)
    return bytes + codes.blocks * 2 * sizeof(float);
  else
    return bytes;
}

/// Scale of block `block` of a row of an integer codec.
template <Coding kCoding>
__device__ __forceinline__ float block_scale(const CodesView& codes, const std::byte* row,
                                             size_t block) {
  if constexpr (cell::shares_scales(kCoding))
    return cell::power_of_two(codes.exponents[block]);
  else
    return reinterpret_cast<const float*>(row)[block];
}

/// Codes of int8 or half bytes [k, k + kGroup) of a row as one word; no byte past the row is read.
template <Coding kCoding, bool kWhole>
__device__ __forceinline__ uint32_t load_word(const CodesView& codes, const std::byte* row,
                                              size_t k) {
  constexpr unsigned kCount = kGroup<kCoding>, kBits = kCount == 4 ? 8 : 4;
  const uint8_t* source = row_codes<kCoding>(codes, row) + k * kBits / 8;
  if (kWhole || k + kCount <= codes.d) return *reinterpret_cast<const uint32_t*>(source);
  uint32_t word = 0;
#pragma unroll
  for (unsigned j = 0; j < 4; ++j)
    if (k + j * 8 / kBits < codes.d) word |= static_cast<uint32_t>(source[j]) << (8 * j);
  return word;
}

/// The integers of group [k, k + kGroup) of a row of an integer codec; from `d` on any code. k is a
/// multiple of kGroup.
template <Coding kCoding, bool kWhole>
__device__ __forceinline__ void load_integers(const CodesView& codes, const std::byte* row,
                                              size_t k, int8_t (&q)[kGroup<kCoding>]) {
  constexpr unsigned kCount = kGroup<kCoding>;
  if constexpr (kCoding == Coding::kSign1) {
    const uint32_t byte = row_codes<kCoding>(codes, row)[k / 8];
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j)
      q[j] = static_cast<int8_t>(static_cast<int>(byte >> j & 1) * 2 - 1);
  } else {
    constexpr unsigned kBits = kCount == 4 ? 8 : 4;
    const uint32_t word = load_word<kCoding, kWhole>(codes, row, k);
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j) {
      const int32_t up = static_cast<int32_t>(word << (32 - kBits * (j + 1)));
      q[j] = static_cast<int8_t>(up >> (32 - kBits));
    }
  }
}

/// The same as floats. A code becomes the low bits of a float above 2^23, from which the offset is
/// taken: two plain instructions, where a conversion has a sixteenth of the lanes.
template <Coding kCoding, bool kWhole>
__device__ __forceinline__ void load_integers(const CodesView& codes, const std::byte* row,
                                              size_t k, float (&q)[kGroup<kCoding>]) {
  constexpr unsigned kCount = kGroup<kCoding>;
  if constexpr (kCoding == Coding::kSign1) {
    const uint32_t byte = row_codes<kCoding>(codes, row)[k / 8];
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j) q[j] = (byte >> j & 1) != 0 ? 1.0f : -1.0f;
  } else {
    constexpr unsigned kBits = kCount == 4 ? 8 : 4, kHalf = 1u << (kBits - 1);
    // Two's complement to excess: q + kHalf in each field.
    const uint32_t word =
        load_word<kCoding, kWhole>(codes, row, k) ^ (kBits == 8 ? 0x80808080u : 0x88888888u);
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j) {
      const uint32_t bits = kBits == 8 ? __byte_perm(word, 0x4b000000u, 0x7650 + j)
                                       : (word >> (kBits * j) & 0xf) | 0x4b000000u;
      q[j] = cell::float_of(bits) - (0x1p23f + kHalf);
    }
  }
}

/// The scales of a group: one load where a block holds it, which is every sensible block. Returns
/// what no magnitude exceeds; NaN where there is one.
template <Coding kCoding>
__device__ __forceinline__ float load_scales(const CodesView& codes, const std::byte* row, size_t k,
                                             float (&scale)[kGroup<kCoding>]) {
  constexpr unsigned kCount = kGroup<kCoding>;
  if ((1u << codes.log2_block) >= kCount) {
    const float all = block_scale<kCoding>(codes, row, k >> codes.log2_block);
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j) scale[j] = all;
    return fabsf(all);
  }
  float sum = 0;
#pragma unroll
  for (unsigned j = 0; j < kCount; ++j) {
    scale[j] =
        k + j < codes.d ? block_scale<kCoding>(codes, row, (k + j) >> codes.log2_block) : 0.0f;
    sum += fabsf(scale[j]);
  }
  return sum;
}

__device__ __forceinline__ uint32_t packed_code(const uint8_t* source, size_t k, uint32_t bits) {
  const size_t at = k * bits;
  const uint32_t shift = at % 8;
  uint32_t both = source[at / 8];
  if (shift + bits > 8) both |= static_cast<uint32_t>(source[at / 8 + 1]) << 8;
  return both >> shift & ((1u << bits) - 1);
}

/// values[j] = coordinate k + j of a row, as coordinate arithmetic sees it (kernels/cell/decode.h).
/// From `d` on any value; k is a multiple of kGroup, k < d. Returns what no magnitude exceeds; NaN
/// where there may be one.
template <Coding kCoding, bool kWhole>
__device__ __forceinline__ float load_group(const CodesView& codes, const std::byte* row, size_t k,
                                            float (&values)[kGroup<kCoding>], Whole<kWhole>) {
  constexpr unsigned kCount = kGroup<kCoding>;
  if constexpr (kCoding == Coding::kF32) {
    values[0] = reinterpret_cast<const float*>(row)[k];
    return fabsf(values[0]);
  } else if constexpr (kCount == 2) {
    uint32_t both;
    if (kWhole || k + 1 < codes.d)
      both = *reinterpret_cast<const uint32_t*>(row + 2 * k);
    else
      both = *reinterpret_cast<const uint16_t*>(row + 2 * k);
#pragma unroll
    for (unsigned j = 0; j < 2; ++j) {
      const uint16_t half = static_cast<uint16_t>(both >> (16 * j));
      values[j] = kCoding == Coding::kF16 ? cell::decode_f16(half) : cell::decode_bf16(half);
    }
    return fabsf(values[0]) + fabsf(values[1]);  // a maximum would lose a NaN
  } else if constexpr (kCoding == Coding::kHsq) {
    const float* head = reinterpret_cast<const float*>(row) + 2 * (k >> codes.log2_block);
    const uint32_t code = packed_code(row_codes<kCoding>(codes, row), k, codes.bits);
    values[0] = cell::hsq_level(head[0], head[1], code);
    return fabsf(values[0]);
  } else {
    float q[kCount], scale[kCount];
    load_integers<kCoding, kWhole>(codes, row, k, q);
    const float most = load_scales<kCoding>(codes, row, k, scale);
#pragma unroll
    for (unsigned j = 0; j < kCount; ++j) values[j] = cell::decode_code(scale[j], q[j]);
    return 128.0f * most;
  }
}

template <Coding kCoding>
__device__ __forceinline__ float load_group(const CodesView& codes, const std::byte* row, size_t k,
                                            float (&values)[kGroup<kCoding>]) {
  return load_group<kCoding>(codes, row, k, values, Whole<false>{});
}

}  // namespace muster::kernels::cuda
