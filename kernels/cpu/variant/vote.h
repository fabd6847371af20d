// Votes: how many rows are positive at a coordinate, less how many are negative. Codes of one
// scale vote by themselves, in bytes; other rows are decoded strip by strip.
#pragma once

#include "kernels/cell/combine.h"
#include "kernels/cpu/variant/strip.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

constexpr size_t kVoteStrip = 4096;
/// Rows whose votes a byte holds.
constexpr size_t kByteVotes = 127;

void vote_values(const float* __restrict values, size_t count, int8_t* __restrict votes) {
  for (size_t k = 0; k < count; ++k)
    votes[k] = static_cast<int8_t>(votes[k] + cell::vote_of(values[k]));
}

/// sign: of the scale the codes share, so that scale * q has the sign sign * q.
void vote_codes(const int8_t* __restrict codes, size_t count, bool reversed,
                int8_t* __restrict votes) {
  if (reversed) {
    for (size_t k = 0; k < count; ++k)
      votes[k] = static_cast<int8_t>(votes[k] + (codes[k] < 0 ? 1 : 0) - (codes[k] > 0 ? 1 : 0));
  } else {
    for (size_t k = 0; k < count; ++k)
      votes[k] = static_cast<int8_t>(votes[k] + (codes[k] > 0 ? 1 : 0) - (codes[k] < 0 ? 1 : 0));
  }
}

/// A scale times any code but 0 keeps its sign, unless the scale is 0 or the product not finite.
void vote_integers(const ChunkView& view, size_t row, size_t begin, size_t end, int8_t* votes) {
  const IntegerRow codes = integer_row(view, row);
  alignas(64) int8_t buffer[kVoteStrip + 1];
  const int8_t* strip = code_strip(view, codes, begin, end - begin, buffer);
  float values[64];
  for (size_t k = begin; k < end;) {
    const size_t stop = run_end(view, k, end);
    const float scale = codes.scales[k >> view.log2_block];
    if (cell::magnitude_bits(scale * 128.0f) < cell::kInfinityBits) {
      if (scale != 0) vote_codes(strip + (k - begin), stop - k, scale < 0, votes + (k - begin));
    } else {
      for (size_t first = k; first < stop; first += 64) {
        const size_t count = stop - first < 64 ? stop - first : 64;
        decode_run(scale, strip + (first - begin), count, values);
        vote_values(values, count, votes + (first - begin));
      }
    }
    k = stop;
  }
}

void vote(const ChunkView& view, int64_t* target, size_t begin, size_t end) {
  alignas(64) float values[kVoteStrip];
  alignas(64) int8_t votes[kVoteStrip];
  for (size_t k = begin; k < end; k += kVoteStrip) {
    const size_t count = end - k < kVoteStrip ? end - k : kVoteStrip;
    for (size_t first = 0; first < view.n; first += kByteVotes) {
      const size_t last = view.n - first < kByteVotes ? view.n : first + kByteVotes;
      memset(votes, 0, count);
      for (size_t row = first; row < last; ++row) {
        if (cell::is_integer(view.coding)) {
          vote_integers(view, row, k, k + count, votes);
        } else {
          decode_strip(view, row, k, count, values);
          vote_values(values, count, votes);
        }
      }
      int64_t* __restrict sums = target + k;
      for (size_t i = 0; i < count; ++i) sums[i] += votes[i];
    }
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
