#include "loadtest/multiply.h"

#include <algorithm>
#include <cstring>

namespace muster::loadtest {
namespace {

template <int kLanes>
struct Vector {
  typedef float type __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
};

struct Product {
  std::size_t n;
  std::size_t k;
  Strided a;
  const float* b;
  float* c;
  bool accumulate;
};

/// kRows x (kVectors * kLanes) values of C at (i, j), held in registers over the whole of k.
template <int kLanes, int kRows, int kVectors>
[[gnu::always_inline]] inline void tile(const Product& p, std::size_t i, std::size_t j) {
  using Lane = typename Vector<kLanes>::type;
  Lane sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = Lane{};
      if (p.accumulate)
        sum[r][v] = *reinterpret_cast<const Lane*>(p.c + (i + static_cast<std::size_t>(r)) * p.n +
                                                   j + static_cast<std::size_t>(v * kLanes));
    }
  const float* a = p.a.data + i * p.a.row;
  const float* b = p.b + j;
  for (std::size_t k = 0; k < p.k; ++k, a += p.a.column, b += p.n) {
    Lane column[kVectors];
    for (int v = 0; v < kVectors; ++v) column[v] = *reinterpret_cast<const Lane*>(b + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const float scale = a[static_cast<std::size_t>(r) * p.a.row];
      for (int v = 0; v < kVectors; ++v) sum[r][v] += scale * column[v];
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      *reinterpret_cast<Lane*>(p.c + (i + static_cast<std::size_t>(r)) * p.n + j +
                               static_cast<std::size_t>(v * kLanes)) = sum[r][v];
}

template <int kLanes, int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_tiles(std::size_t m, const Product& p) {
  constexpr std::size_t kWide = kLanes * kVectors;
  std::size_t j = 0;
  for (; j + kWide <= p.n; j += kWide) {
    std::size_t i = 0;
    for (; i + kRows <= m; i += kRows) tile<kLanes, kRows, kVectors>(p, i, j);
    for (; i < m; ++i) tile<kLanes, 1, kVectors>(p, i, j);
  }
  for (; j + 4 <= p.n; j += 4) {
    std::size_t i = 0;
    for (; i + kRows <= m; i += kRows) tile<4, kRows, 1>(p, i, j);
    for (; i < m; ++i) tile<4, 1, 1>(p, i, j);
  }
  for (; j < p.n; ++j)
    for (std::size_t i = 0; i < m; ++i) tile<1, 1, 1>(p, i, j);
}

#if defined(__x86_64__)
[[gnu::target("avx512f,avx512vl,fma,prefer-vector-width=512")]] void multiply_avx512(
    std::size_t m, const Product& p) {
  multiply_tiles<16, 8, 2>(m, p);
}
[[gnu::target("avx2,fma")]] void multiply_avx2(std::size_t m, const Product& p) {
  multiply_tiles<8, 4, 2>(m, p);
}
#endif
void multiply_baseline(std::size_t m, const Product& p) { multiply_tiles<4, 4, 2>(m, p); }

using Multiply = void (*)(std::size_t, const Product&);

Multiply choose() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
    return multiply_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return multiply_avx2;
#endif
  return multiply_baseline;
}

}  // namespace

void multiply(std::size_t m, std::size_t n, std::size_t k, Strided a, const float* b, float* c,
              bool accumulate) {
  static const Multiply kMultiply = choose();
  kMultiply(m, Product{n, k, a, b, c, accumulate});
}

}  // namespace muster::loadtest
