// One block of one row: its squared norm, and what in it is not finite or out of bound.
#pragma once

#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

/// Sum of squares over a padded strip, lanes side by side (canonical.h).
double sum_squares(const double* __restrict values, size_t padded) {
  alignas(64) double lanes[canonical::kLanes];
  for (size_t lane = 0; lane < canonical::kLanes; ++lane) {
    double sum = 0;
    size_t k = 0;
    do {  // never empty, and g++ must see it to put lanes side by side
      sum = cell::add_exact_product(values[k + lane], values[k + lane], sum);
      k += canonical::kLanes;
    } while (k < padded);
    lanes[lane] = sum;
  }
  return canonical::fold(lanes);
}

/// How many of the values have a magnitude greater than these bits.
uint32_t count_beyond(const float* __restrict values, size_t count, uint32_t bits) {
  uint32_t beyond = 0;
  for (size_t k = 0; k < count; ++k) beyond += cell::magnitude_bits(values[k]) > bits ? 1u : 0u;
  return beyond;
}

/// Whether coordinates [begin, end) of rows [first, n) of F32 have magnitudes of at most these
/// bits.
bool magnitudes_within(const ChunkView& view, size_t first, size_t begin, size_t end,
                       uint32_t bits) {
  uint32_t beyond = 0;
  for (size_t row = first; row < view.n && beyond == 0; ++row)
    beyond =
        count_beyond(reinterpret_cast<const float*>(view.rows[row]) + begin, end - begin, bits);
  return beyond == 0;
}

void inspect_floats(const ChunkView& view, float bound, bool norms, size_t row, size_t begin,
                    size_t count, BlockSummary* summary) {
  alignas(64) float values[canonical::kBlock];
  alignas(64) double finite[canonical::kBlock];
  decode_strip(view, row, begin, count, values);
  // Most strips are within bound: then one count says that nothing is wrong.
  const float greatest = cell::float_of(cell::kInfinityBits - 1);
  const uint32_t invalid =
      count_beyond(values, count, cell::bits_of(bound < greatest ? bound : greatest));
  const uint32_t non_finite =
      invalid == 0 ? 0 : count_beyond(values, count, cell::kInfinityBits - 1);
  *summary = {0, non_finite, invalid - non_finite};
  if (!norms) return;
  for (size_t k = 0; k < count; ++k)
    finite[k] = static_cast<double>(cell::finite_or_zero(values[k]));
  pad_strip(finite, count, canonical::padded(count));
  summary->squared_norm = sum_squares(finite, canonical::padded(count));
}

/// Greatest m in [0, 128] for which |scale * m| as f32 is at most `limit`, or -1: the test for one
/// coordinate becomes a test of its code. A scale that is not finite makes even 0 * scale NaN.
int32_t greatest_within(float scale, float limit) {
  int32_t below = -1, above = 129;
  while (above - below > 1) {
    const int32_t middle = (below + above) / 2;
    const float product = scale * static_cast<float>(middle);
    if (cell::magnitude_bits(product) <= cell::bits_of(limit))
      below = middle;
    else
      above = middle;
  }
  return below;
}

MUSTER_CELL int64_t sum_square_codes(const int8_t* codes, size_t count) {
  int32_t sum = 0;
  for (size_t k = 0; k < count; ++k) sum += int32_t{codes[k]} * int32_t{codes[k]};
  return sum;
}

/// Sum of squares of the codes of magnitude <= finite_limit; counts the others.
int64_t sum_square_codes_checked(const int8_t* codes, size_t count, int32_t finite_limit,
                                 int32_t bound_limit, BlockSummary* summary) {
  int64_t sum = 0;
  for (size_t k = 0; k < count; ++k) {
    const int32_t q = codes[k], magnitude = q < 0 ? -q : q;
    if (magnitude > finite_limit) {
      ++summary->non_finite;
      continue;
    }
    if (magnitude > bound_limit) ++summary->out_of_bound;
    sum += q * q;
  }
  return sum;
}

void inspect_integers(const ChunkView& view, float bound, bool norms, size_t row, size_t begin,
                      size_t count, BlockSummary* summary) {
  alignas(64) int8_t buffer[canonical::kBlock + 1];
  const IntegerRow codes = integer_row(view, row);
  const int8_t* strip = code_strip(view, codes, begin, count, buffer);
  const float greatest = cell::float_of(cell::kInfinityBits - 1);
  const float usual_limit = bound < greatest ? bound : greatest;
  *summary = {0, 0, 0};
  const size_t end = begin + count;
  for (size_t k = begin; k < end;) {
    const size_t stop = run_end(view, k, end);
    const float scale = codes.scales[k >> view.log2_block];
    int64_t squares;
    if (cell::magnitude_bits(scale * 128.0f) <= cell::bits_of(usual_limit)) {
      squares = norms ? sum_square_codes(strip + (k - begin), stop - k) : 0;
    } else {
      squares =
          sum_square_codes_checked(strip + (k - begin), stop - k, greatest_within(scale, greatest),
                                   greatest_within(scale, usual_limit), summary);
    }
    if (norms && squares != 0) {  // so that the scale is finite
      const double wide = static_cast<double>(scale);
      summary->squared_norm += wide * wide * static_cast<double>(squares);
    }
    k = stop;
  }
}

void inspect(const ChunkView& view, float bound, bool norms, size_t row, size_t block,
             BlockSummary* summary) {
  const size_t begin = block * canonical::kBlock;
  const size_t left = view.d - begin;
  const size_t count = left < canonical::kBlock ? left : canonical::kBlock;
  if (cell::is_integer(view.coding))
    inspect_integers(view, bound, norms, row, begin, count, summary);
  else
    inspect_floats(view, bound, norms, row, begin, count, summary);
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
