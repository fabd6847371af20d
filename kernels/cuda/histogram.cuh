// Histograms of int8 codes that share their scales: 64 columns of 256 bins in 64 KB of shared
// memory.
//
// A half warp takes the 64 codes of a row as 16 words, and the halves of a warp take two rows. The
// counter of a column lies in a bank of its own for all bins, and while the one half counts byte j
// of its words the other counts byte j xor 1, which is 16 banks away: the 32 additions of a warp
// never meet, whatever the codes are.
#pragma once

#include "kernels/cuda/values.cuh"

namespace muster::kernels::cuda {

constexpr int kCodeBins = 256;
constexpr int kCountColumns = 64;
constexpr int kCountThreads = 512;
constexpr int kCountRows = kCountThreads / 16;  ///< rows that a block takes side by side
constexpr int kCountRowsUnderWay = 8;           ///< rows a half warp asks for before it counts

/// One block's counters: [bin][place of the column].
using CodeCounts = uint32_t[kCodeBins][kCountColumns];

/// Where column c of the tile is counted: byte c % 4 of word c / 4.
__device__ __forceinline__ int place_of_column(int c) { return c % 4 * 16 + c / 4; }
__device__ __forceinline__ int column_of_place(int place) { return place % 16 * 4 + place / 16; }

/// Codes k .. k + 3 of a row as one word; zeros past the end. k is a multiple of 4.
__device__ __forceinline__ uint32_t word_of_codes(const std::byte* row, size_t k, size_t d) {
  uint32_t word = 0;
  if (k + 4 <= d) {
    word = *reinterpret_cast<const uint32_t*>(row + k);
  } else {
    for (size_t j = k; j < d; ++j)
      word |= uint32_t{reinterpret_cast<const uint8_t*>(row)[j]} << (j - k) * 8;
  }
  return word;
}

__device__ __forceinline__ void clear_counts(CodeCounts& counts) {
  uint4* words = reinterpret_cast<uint4*>(counts);
#pragma unroll
  for (int i = 0; i < kCodeBins * kCountColumns / 4 / kCountThreads; ++i)
    words[i * kCountThreads + threadIdx.x] = uint4{0, 0, 0, 0};
}

/// Counts columns [first, first + 64) of all rows. Between barriers of the caller; columns past the
/// end count zeros.
__device__ __forceinline__ void count_codes(const CodesView& codes, size_t first,
                                            CodeCounts& counts) {
  const int word_index = threadIdx.x % 16;
  const int half = threadIdx.x / 16 % 2;
  const size_t k = first + static_cast<size_t>(4 * word_index);
  for (size_t row = threadIdx.x / 16; row < codes.n; row += kCountRowsUnderWay * kCountRows) {
    uint32_t words[kCountRowsUnderWay];
#pragma unroll
    for (int i = 0; i < kCountRowsUnderWay; ++i) {
      const size_t at = row + static_cast<size_t>(i * kCountRows);
      words[i] = word_of_codes(codes.rows[at < codes.n ? at : row], k, codes.d);
    }
#pragma unroll
    for (int i = 0; i < kCountRowsUnderWay; ++i) {
      if (row + static_cast<size_t>(i * kCountRows) >= codes.n) continue;
      // Two's complement to excess 128, and neighbouring bytes exchanged in the second half.
      const uint32_t bins = words[i] ^ 0x80808080u;
      const uint32_t turned = __byte_perm(bins, 0, half == 0 ? 0x3210 : 0x2301);
#pragma unroll
      for (int step = 0; step < 4; ++step)
        atomicAdd(&counts[turned >> (8 * step) & 0xff][(step ^ half) * 16 + word_index], 1u);
    }
  }
}

}  // namespace muster::kernels::cuda
