// One coordinate at a time, for kernels whose threads are columns or canonical lanes: neighbouring
// threads take neighbouring coordinates, and a warp reads whole sectors.
#pragma once

#include "kernels/cuda/decode.cuh"

namespace muster::kernels::cuda {

constexpr unsigned kWholeWarp = 0xffffffffu;

/// As with_coding(), within a kernel: every path is compiled into it.
template <class Use>
__device__ __forceinline__ void by_coding(Coding coding, const Use& use) {
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

/// The integer of coordinate k of an integer codec.
template <Coding kCoding>
__device__ __forceinline__ int8_t code_at(const CodesView& codes, const std::byte* row, size_t k) {
  const uint8_t* bytes = row_codes<kCoding>(codes, row);
  if constexpr (kCoding == Coding::kI8B || kCoding == Coding::kI8S) {
    return static_cast<int8_t>(bytes[k]);
  } else if constexpr (kCoding == Coding::kSign1) {
    return static_cast<int8_t>((bytes[k / 8] >> (k % 8) & 1) * 2 - 1);
  } else {
    const uint8_t byte = bytes[k / 2];
    return k % 2 == 0 ? cell::low_code(byte) : cell::high_code(byte);
  }
}

template <Coding kCoding>
__device__ __forceinline__ float scale_at(const CodesView& codes, const std::byte* row, size_t k) {
  return block_scale<kCoding>(codes, row, k >> codes.log2_block);
}

/// Coordinate k as T: float, the value of coordinate arithmetic, or double, the exact one.
template <Coding kCoding, class T = float>
__device__ __forceinline__ T value_at(const CodesView& codes, const std::byte* row, size_t k) {
  if constexpr (cell::is_integer(kCoding)) {
    const float scale = scale_at<kCoding>(codes, row, k);
    const int8_t q = code_at<kCoding>(codes, row, k);
    if constexpr (sizeof(T) == sizeof(double))
      return cell::decode_i8_exact(scale, q);
    else
      return cell::decode_i8(scale, q);
  } else if constexpr (kCoding == Coding::kF32) {
    return static_cast<T>(reinterpret_cast<const float*>(row)[k]);
  } else if constexpr (kCoding == Coding::kF16) {
    return static_cast<T>(cell::decode_f16(reinterpret_cast<const uint16_t*>(row)[k]));
  } else if constexpr (kCoding == Coding::kBF16) {
    return static_cast<T>(cell::decode_bf16(reinterpret_cast<const uint16_t*>(row)[k]));
  } else {
    const float* head = reinterpret_cast<const float*>(row) + 2 * (k >> codes.log2_block);
    const uint32_t code = packed_code(row_codes<kCoding>(codes, row), k, codes.bits);
    return static_cast<T>(cell::hsq_level(head[0], head[1], code));
  }
}

template <Coding kCoding>
__device__ __forceinline__ double exact_at(const CodesView& codes, const std::byte* row, size_t k) {
  return value_at<kCoding, double>(codes, row, k);
}

}  // namespace muster::kernels::cuda
