// Order statistics of columns, digit by digit: a block finds the keys of one or two ranks in each
// of 32 columns, whatever the number of rows.
//
// A lane is a column, and the warps share the rows. Each pass counts one digit of eight bits in a
// histogram in shared memory whose bank is the column: the 32 additions of a warp never meet, and
// no input, hostile ones included, changes the time. Counts are integers: no order matters.
#pragma once

#include <cstddef>
#include <cstdint>

namespace muster::kernels::cuda {

constexpr int kColumns = 32;  ///< of a block
constexpr int kSelectWarps = 16;
constexpr int kSelectThreads = kSelectWarps * 32;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
/// Rows a warp asks for before it uses the first: 16 warps keep 16 KB of 4-byte codes under way.
constexpr int kRowsUnderWay = 8;

/// Shared memory of a search: 64 KB of counters, and what the search knows.
template <class Key>
struct SelectShared {
  uint32_t counts[2][kDigits][kColumns];
  uint32_t totals[2][kSelectWarps][kColumns];
  uint32_t ranks[2][kColumns];  ///< in: of the keys sought, from 0
  Key keys[2][kColumns];        ///< out
};

/// Calls visit(load(row)) for the rows of this warp.
template <class Load, class Visit>
__device__ __forceinline__ void for_rows_of_warp(size_t n, const Load& load, const Visit& visit) {
  for (size_t row = threadIdx.x / 32; row < n; row += kRowsUnderWay * kSelectWarps) {
    decltype(load(row)) batch[kRowsUnderWay];
#pragma unroll
    for (int i = 0; i < kRowsUnderWay; ++i) {
      const size_t at = row + static_cast<size_t>(i * kSelectWarps);
      batch[i] = load(at < n ? at : row);
    }
#pragma unroll
    for (int i = 0; i < kRowsUnderWay; ++i)
      if (row + static_cast<size_t>(i * kSelectWarps) < n) visit(batch[i]);
  }
}

/// The bin of counts that holds the rank of `search`, as the next digit of its key. Each warp looks
/// through its share of the bins of all columns.
template <class Key>
__device__ __forceinline__ void settle_digit(SelectShared<Key>& shared, int search,
                                             const uint32_t (*counts)[kColumns], uint32_t rank,
                                             int shift) {
  constexpr int kShare = kDigits / kSelectWarps;
  const int warp = threadIdx.x / 32, column = threadIdx.x % 32;
  uint32_t before = 0;
  for (int w = 0; w < warp; ++w) before += shared.totals[search][w][column];
  if (rank >= before && rank - before < shared.totals[search][warp][column]) {
    int digit = warp * kShare;
    for (; rank - before >= counts[digit][column]; ++digit) before += counts[digit][column];
    shared.keys[search][column] |= static_cast<Key>(static_cast<Key>(digit) << shift);
    shared.ranks[search][column] = rank - before;
  }
}

/// Finds shared.keys[i][column], the key of rank shared.ranks[i][column] (destroyed), for searches
/// i < searches. `load(row)` gives the key of this thread's column, below 2^bits. All threads of
/// the block call it, and nobody still reads counters or keys of before; it has barriers of its own
/// until it reads the ranks, and ends with one.
template <class Key, class Load>
__device__ __forceinline__ void find_keys(SelectShared<Key>& shared, int searches, int bits,
                                          size_t n, const Load& load) {
  constexpr int kShare = kDigits / kSelectWarps;
  const int warp = threadIdx.x / 32, column = threadIdx.x % 32;
  if (warp < searches) shared.keys[warp][column] = 0;
  bool first = true;
  for (int shift = (bits - 1) / kDigitBits * kDigitBits; shift >= 0; shift -= kDigitBits) {
    // As long as nothing is known of the keys, all searches share the first histogram.
    const int histograms = first ? 1 : searches;
    uint4* words = reinterpret_cast<uint4*>(shared.counts);
    for (int i = threadIdx.x; i < histograms * kDigits * kColumns / 4; i += kSelectThreads)
      words[i] = uint4{0, 0, 0, 0};
    __syncthreads();
    const Key known = shared.keys[0][column];
    const Key other = shared.keys[histograms - 1][column];
    for_rows_of_warp(n, load, [&](Key key) {
      const int digit = static_cast<int>(key >> shift) & (kDigits - 1);
      // Two shifts: one by all bits of a key would be undefined.
      if (first || ((key ^ known) >> shift >> kDigitBits) == 0)
        atomicAdd(&shared.counts[0][digit][column], 1u);
      if (histograms == 2 && ((key ^ other) >> shift >> kDigitBits) == 0)
        atomicAdd(&shared.counts[1][digit][column], 1u);
    });
    __syncthreads();
    for (int search = 0; search < searches; ++search) {
      const auto* counts = shared.counts[first ? 0 : search];
      uint32_t total = 0;
#pragma unroll
      for (int i = 0; i < kShare; ++i) total += counts[warp * kShare + i][column];
      shared.totals[search][warp][column] = total;
    }
    // Read before the barrier: behind it the thread that finds a digit writes the rank that is
    // left.
    const uint32_t rank = shared.ranks[0][column];
    const uint32_t other_rank = shared.ranks[searches - 1][column];
    __syncthreads();
    for (int search = 0; search < searches; ++search)
      settle_digit(shared, search, shared.counts[first ? 0 : search],
                   search == 0 ? rank : other_rank, shift);
    __syncthreads();
    first = false;
  }
}

/// combine() of the parts that the warps have of a column, in every thread. Overwrites the
/// counters; all threads of the block call it.
template <class Key, class Combine>
__device__ __forceinline__ uint64_t fold_warps(SelectShared<Key>& shared, uint64_t part,
                                               const Combine& combine) {
  auto* parts = reinterpret_cast<uint64_t(*)[kColumns]>(shared.counts);
  const int warp = threadIdx.x / 32, column = threadIdx.x % 32;
  __syncthreads();
  parts[warp][column] = part;
  __syncthreads();
  uint64_t whole = parts[0][column];
#pragma unroll
  for (int w = 1; w < kSelectWarps; ++w) whole = combine(whole, parts[w][column]);
  return whole;
}
template <class Key>
__device__ __forceinline__ uint64_t sum_of_warps(SelectShared<Key>& shared, uint64_t part) {
  return fold_warps(shared, part, [](uint64_t a, uint64_t b) { return a + b; });
}

}  // namespace muster::kernels::cuda
