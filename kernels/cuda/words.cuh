// Four consecutive codes of an integer codec as one word, a byte each.
#pragma once

#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {

/// Codes k .. k + 3 of a row, zeros from `end` on; k is a multiple of 4.
template <Coding kCoding>
__device__ __forceinline__ uint32_t codes_word(const CodesView& codes, const std::byte* row,
                                               size_t k, size_t end) {
  const uint8_t* bytes = row_codes<kCoding>(codes, row);
  uint32_t word = 0;
  if (k + 4 > end) {
    for (size_t j = k; j < end; ++j)
      word |= uint32_t{static_cast<uint8_t>(code_at<kCoding>(codes, row, j))} << 8 * (j - k);
  } else if constexpr (kCoding == Coding::kI8B || kCoding == Coding::kI8S) {
    word = *reinterpret_cast<const uint32_t*>(bytes + k);
  } else if constexpr (kCoding == Coding::kSign1) {
    // A bit to each byte, then 1 and -1.
    const uint32_t bits = uint32_t{bytes[k / 8]} >> k % 8 & 0xf;
    word = (bits * 0x00204081u & 0x01010101u) * 0xfe ^ 0xffffffffu;
  } else {
    // Half a byte to each byte, then the sign over its upper half.
    const uint32_t packed = *reinterpret_cast<const uint16_t*>(bytes + k / 2);
    word = (packed & 0xf) | (packed & 0xf0) << 4 | (packed & 0xf00) << 8 | (packed & 0xf000) << 12;
    word |= (word & 0x08080808u) * 0x1e;
  }
  return word;
}

}  // namespace muster::kernels::cuda
