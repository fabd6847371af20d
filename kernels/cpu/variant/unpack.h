// Packed codes, one a byte again. Bits are packed from the low end (base/codec.h).
#pragma once

#include <string.h>

#include "kernels/cell/decode.h"
#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// codes[k] for k < count, from two codes a byte. Writes one code more where count is odd.
MUSTER_CELL const int8_t* unpack_nibbles(const int8_t* __restrict source, size_t count,
                                         int8_t* __restrict codes) {
  for (size_t j = 0; j < (count + 1) / 2; ++j) {
    const uint8_t byte = static_cast<uint8_t>(source[j]);
    codes[2 * j] = cell::low_code(byte);
    codes[2 * j + 1] = cell::high_code(byte);
  }
  return codes;
}

/// codes[k] = +1 or -1, from one bit each.
MUSTER_CELL const int8_t* unpack_signs(const int8_t* __restrict source, size_t count,
                                       int8_t* __restrict codes) {
  for (size_t k = 0; k < count; ++k)
    codes[k] = static_cast<int8_t>((static_cast<uint8_t>(source[k / 8]) >> (k % 8) & 1) * 2 - 1);
  return codes;
}

/// codes[k] = the kBits bits from bit (begin + k) * kBits of `source` on. Eight codes are kBits
/// whole bytes; nothing past the last byte of the last code is read. `begin` is a multiple of 8.
template <unsigned kBits>
void unpack_bits(const uint8_t* source, size_t begin, size_t count, uint8_t* codes) {
  constexpr uint64_t kMask = (1u << kBits) - 1;
  source += begin / 8 * kBits;
  size_t k = 0;
  for (; k + 8 <= count; k += 8, source += kBits) {
    uint64_t group = 0;
    memcpy(&group, source, kBits);
    for (size_t j = 0; j < 8; ++j)
      codes[k + j] = static_cast<uint8_t>(group >> (j * kBits) & kMask);
  }
  uint64_t group = 0;
  if (k < count) memcpy(&group, source, ((count - k) * kBits + 7) / 8);
  for (size_t j = 0; k + j < count; ++j)
    codes[k + j] = static_cast<uint8_t>(group >> (j * kBits) & kMask);
}

void unpack_codes(const uint8_t* source, unsigned bits, size_t begin, size_t count,
                  uint8_t* codes) {
  switch (bits) {
    case 1:
      return unpack_bits<1>(source, begin, count, codes);
    case 2:
      return unpack_bits<2>(source, begin, count, codes);
    case 3:
      return unpack_bits<3>(source, begin, count, codes);
    case 4:
      return unpack_bits<4>(source, begin, count, codes);
    case 5:
      return unpack_bits<5>(source, begin, count, codes);
    case 6:
      return unpack_bits<6>(source, begin, count, codes);
    case 7:
      return unpack_bits<7>(source, begin, count, codes);
    case 8:
      return unpack_bits<8>(source, begin, count, codes);
    default:
      return;
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
