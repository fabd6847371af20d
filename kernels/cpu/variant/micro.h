// Micro kernels of the Gram matrix: a few rows of one panel by a few of another, every product of
// the rectangle summed in a register. The rectangles are folds over constant indices: arrays walked
// by loops would be kept in memory.
#pragma once

#include "kernels/cell/network.h"
#include "kernels/cpu/table.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kMicroRows = 4;  // 16 sums and 8 operands in 32 registers
#else
constexpr int kMicroRows = 2;  // 8 and 6 in 16
#endif
constexpr int kMicroColumns = 4;
constexpr int kMicroPairs = kMicroRows * kMicroColumns;
using MicroPairs = typename cell::IndicesUpTo<kMicroPairs>::type;
using MicroRows = typename cell::IndicesUpTo<kMicroRows>::type;
using MicroColumns = typename cell::IndicesUpTo<kMicroColumns>::type;

template <bool kExact>
MUSTER_CELL double add_product(double a, double b, double sum) {
  return kExact ? cell::add_exact_product(a, b, sum) : sum + a * b;
}

/// Adds depth coordinates (whole rounds of lanes) to the lanes of each pair; rows lie kGramPitch
/// apart, pairs kLanes. kExact: all values are f32 ones, so that products may be fused.
template <bool kExact, int... P, int... R, int... C>
MUSTER_CELL void add_value_lanes(const double* __restrict a, const double* __restrict b,
                                 size_t depth, double* __restrict lanes, cell::Indices<P...>,
                                 cell::Indices<R...>, cell::Indices<C...>) {
  constexpr size_t kLanes = canonical::kLanes;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    double sum[] = {lanes[P * kLanes + lane]...};
    for (size_t k = 0; k < depth; k += kLanes) {
      const double row[] = {a[R * kGramPitch + k + lane]...};
      const double column[] = {b[C * kGramPitch + k + lane]...};
      ((sum[P] = add_product<kExact>(row[P / kMicroColumns], column[P % kMicroColumns], sum[P])),
       ...);
    }
    ((lanes[P * kLanes + lane] = sum[P]), ...);
  }
}

template <bool kExact>
void add_values(const double* a, const double* b, size_t depth, double* lanes) {
  add_value_lanes<kExact>(a, b, depth, lanes, MicroPairs{}, MicroRows{}, MicroColumns{});
}

/// products[p] = sum of codes over `count` coordinates, at most kBlock of them; rows kBlock apart.
template <int... P, int... R, int... C>
MUSTER_CELL void multiply_code_rows(const int16_t* __restrict a, const int16_t* __restrict b,
                                    size_t count, int32_t* __restrict products, cell::Indices<P...>,
                                    cell::Indices<R...>, cell::Indices<C...>) {
  int32_t sum[sizeof...(P)] = {};
  for (size_t k = 0; k < count; ++k) {
    const int32_t row[] = {a[R * canonical::kBlock + k]...};
    const int32_t column[] = {b[C * canonical::kBlock + k]...};
    ((sum[P] += row[P / kMicroColumns] * column[P % kMicroColumns]), ...);
  }
  ((products[P] = sum[P]), ...);
}

void multiply_codes(const int16_t* a, const int16_t* b, size_t count, int32_t* products) {
  multiply_code_rows(a, b, count, products, MicroPairs{}, MicroRows{}, MicroColumns{});
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
