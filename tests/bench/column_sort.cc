#include "tests/bench/column_sort.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace muster::bench {
namespace {

/// Columns no longer than this are left to std::sort, which inserts.
constexpr std::size_t kLeaf = 16;

#if defined(__x86_64__)
#define MUSTER_WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

bool has_compress() { return __builtin_cpu_supports("avx512f") != 0; }

/// Values below the pivot to the front, the others behind; returns the number of the former.
__attribute__((target("avx512f"))) std::size_t partition(float* column, float* spare, std::size_t n,
                                                         float pivot) {
  const __m512 pivots = _mm512_set1_ps(pivot);
  std::size_t below = 0, others = 0;
  for (std::size_t k = 0; k < n; k += 16) {
    const auto valid = static_cast<__mmask16>(n - k < 16 ? (1u << (n - k)) - 1 : 0xffffu);
    const __m512 x = _mm512_maskz_loadu_ps(valid, column + k);
    const __mmask16 less = _mm512_mask_cmp_ps_mask(valid, x, pivots, _CMP_LT_OQ);
    const auto rest = static_cast<__mmask16>(valid & ~less);
    _mm512_mask_compressstoreu_ps(column + below, less, x);
    _mm512_mask_compressstoreu_ps(spare + others, rest, x);
    below += static_cast<std::size_t>(__builtin_popcount(less));
    others += static_cast<std::size_t>(__builtin_popcount(rest));
  }
  std::memcpy(column + below, spare, others * sizeof(float));
  return below;
}
#else
#define MUSTER_WIDEST
bool has_compress() { return false; }
std::size_t partition(float*, float*, std::size_t, float) { return 0; }
#endif

void quicksort(float* column, float* spare, std::size_t n) {
  while (n > kLeaf) {
    const float a = column[0], b = column[n / 2], c = column[n - 1];
    const float pivot = std::max(std::min(a, b), std::min(std::max(a, b), c));
    std::size_t below = partition(column, spare, n, pivot);
    if (below == 0) {  // the pivot is the least: put its equals away
      below = partition(column, spare, n, std::nextafter(pivot, 1e38f));
    } else {
      quicksort(column, spare, below);
    }
    column += below;
    n -= below;
  }
  std::sort(column, column + n);
}

template <class T>
__attribute__((always_inline)) inline void batcher(T* rows, std::size_t n) {
  for (std::size_t p = 1; p < n; p *= 2)
    for (std::size_t k = p; k >= 1; k /= 2)
      for (std::size_t j = k % p; j + k < n; j += 2 * k)
        for (std::size_t i = 0; i < k && i + j + k < n; ++i) {
          if ((i + j) / (2 * p) != (i + j + k) / (2 * p)) continue;
          T* __restrict low = rows + (i + j) * kSortedTogether;
          T* __restrict high = rows + (i + j + k) * kSortedTogether;
          for (std::size_t c = 0; c < kSortedTogether; ++c) {
            const T x = low[c], y = high[c];
            low[c] = x < y ? x : y;
            high[c] = x < y ? y : x;
          }
        }
}

}  // namespace

void sort_column(float* column, float* spare, std::size_t n) {
  if (has_compress())
    quicksort(column, spare, n);
  else
    std::sort(column, column + n);
}

const char* column_sort_name() { return has_compress() ? "AVX-512 quicksort" : "std::sort"; }

MUSTER_WIDEST void sort_columns(float* rows, std::size_t n) { batcher(rows, n); }
MUSTER_WIDEST void sort_columns(signed char* rows, std::size_t n) { batcher(rows, n); }

MUSTER_WIDEST std::uint64_t sum_words(const std::uint64_t* words, std::size_t n) {
  constexpr std::size_t kLanes = 32;
  std::uint64_t lanes[kLanes] = {};
  for (std::size_t k = 0; k + kLanes <= n; k += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += words[k + lane];
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum += lane;
  return sum;
}

}  // namespace muster::bench
