// Rows onto the grid and into the sums: strips small enough that sums and values stay in the first
// cache level while all rows pass. Reads each code once and each sum once a call.
#pragma once

#include "kernels/cell/grid.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kAccumulateStrip = 2048;
/// Coordinates of a row taken at a time, while those of the next row are asked for: the hardware
/// reads ahead within a row only, and begins anew in each.
constexpr size_t kAccumulatePiece = 256;

template <bool kWeighted>
void add_strip(const float* __restrict values, size_t count, double scaled_factor, int64_t weight,
               int64_t* __restrict target) {
  for (size_t k = 0; k < count; ++k) {
    const int64_t step = cell::to_grid(cell::finite_or_zero(values[k]), scaled_factor);
    target[k] = cell::add_weighted(target[k], kWeighted ? weight : 1, step);
  }
}

/// Coordinates of a run whose codes are summed before they are widened: the sums stay in the first
/// cache level beside the codes.
constexpr size_t kCodeRun = 1024;
/// Rows asked for ahead of the one that is added.
constexpr size_t kCodeRowsAhead = 2;
/// Rows whose codes fit int16 sums.
constexpr size_t kCodeRows = 256;

/// The integer every code is worth on the grid, where it is one: shared scales are powers of two,
/// so with equal factors nothing but a factor of an odd kind keeps it from being an integer.
/// Products with codes are then exact, and the sum of products is the product of the sum.
MUSTER_CELL bool integer_worth(float scale, double scaled_factor, int64_t* worth) {
  const double exact = static_cast<double>(scale) * scaled_factor;
  if (!(exact >= -0x1p45 && exact <= 0x1p45)) return false;
  *worth = static_cast<int64_t>(exact);
  return static_cast<double>(*worth) == exact;
}

/// Not inlined: only as parameters do the pointers keep their promise not to overlap, without which
/// g++ jams rows together and adds byte by byte.
[[gnu::noinline]] void add_codes(const int8_t* __restrict codes, size_t count,
                                 int16_t* __restrict sums) {
  for (size_t k = 0; k < count; ++k) sums[k] = static_cast<int16_t>(sums[k] + codes[k]);
}

void sum_code_rows(const ChunkView& view, size_t first_row, size_t last_row, size_t begin,
                   size_t count, int16_t* __restrict sums) {
  memset(sums, 0, count * sizeof(int16_t));
  for (size_t row = first_row; row < last_row; ++row) {
    if (row + kCodeRowsAhead < last_row)
      prefetch_row(view, cell::Coding::kI8S, row + kCodeRowsAhead, begin, begin + count);
    add_codes(reinterpret_cast<const int8_t*>(view.rows[row]) + begin, count, sums);
  }
}

void add_worth(const int16_t* __restrict sums, size_t count, int64_t worth,
               int64_t* __restrict target) {
  for (size_t k = 0; k < count; ++k) target[k] = cell::add_weighted(target[k], worth, sums[k]);
}

/// Shared-scale codes of rows [first, last), all of one factor and weight, over [begin, end). False
/// (and nothing done) where a code is not worth an integer.
bool accumulate_codes(const ChunkView& view, const AccumulateView& job, size_t first, size_t last,
                      size_t begin, size_t end) {
  int64_t worth;
  for (size_t k = begin; k < end; k = run_end(view, k, end))
    if (!integer_worth(view.shared_scales[k >> view.log2_block], job.scaled_factors[first], &worth))
      return false;
  alignas(64) int16_t sums[kCodeRun];
  for (size_t k = begin; k < end;) {
    size_t stop = run_end(view, k, end);
    if (stop - k > kCodeRun) stop = k + kCodeRun;
    integer_worth(view.shared_scales[k >> view.log2_block], job.scaled_factors[first], &worth);
    sum_code_rows(view, first, last, k, stop - k, sums);
    add_worth(sums, stop - k, cell::add_weighted(0, job.weights[first], worth), job.target + k);
    k = stop;
  }
  return true;
}

/// Rows from `first` on with its factor and weight, as many as one sum of codes takes.
size_t like_rows(const ChunkView& view, const AccumulateView& job, size_t first) {
  size_t last = first + 1;
  while (last < view.n && last - first < kCodeRows && job.weights[last] == job.weights[first] &&
         job.scaled_factors[last] == job.scaled_factors[first])
    ++last;
  return last;
}

void accumulate_values(const ChunkView& view, const AccumulateView& job, size_t first_row,
                       size_t begin, size_t end) {
  alignas(64) float values[kAccumulatePiece];
  for (size_t strip = begin; strip < end; strip += kAccumulateStrip) {
    const size_t strip_end = end - strip < kAccumulateStrip ? end : strip + kAccumulateStrip;
    for (size_t row = first_row; row < view.n; ++row) {
      if (job.weights[row] == 0) continue;
      for (size_t k = strip; k < strip_end; k += kAccumulatePiece) {
        const size_t count = strip_end - k < kAccumulatePiece ? strip_end - k : kAccumulatePiece;
        if (row + 1 < view.n) prefetch_row(view, view.coding, row + 1, k, k + count);
        decode_strip(view, row, k, count, values);
        if (job.weights[row] == 1)
          add_strip<false>(values, count, job.scaled_factors[row], 1, job.target + k);
        else
          add_strip<true>(values, count, job.scaled_factors[row], job.weights[row], job.target + k);
      }
    }
  }
}

void accumulate(const ChunkView& view, const AccumulateView& job, size_t begin, size_t end) {
  size_t row = 0;
  if (view.coding == cell::Coding::kI8S) {
    while (row < view.n) {
      const size_t last = like_rows(view, job, row);
      if (!accumulate_codes(view, job, row, last, begin, end)) break;
      row = last;
    }
  }
  if (row < view.n) accumulate_values(view, job, row, begin, end);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
