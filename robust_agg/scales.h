// Shared scales that follow the updates: what exponents the next round's devices quantise with,
// judged from how far the codes of this round reached.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/status.h"

namespace muster::robust {

/// Updates looked at, at most; an odd number has a median.
inline constexpr std::uint32_t kScaleSample = 31;

/// peaks[b] = the greatest |q| among the codes of block b of one chunk of `d` coordinates; I8S or
/// I4S. `payload` is as long as payload_bytes() says.
void block_peaks(ChunkFormat format, std::size_t d, ConstBytes payload,
                 std::span<std::uint8_t> peaks);

/// What the exponents may be.
struct ScaleRange {
  std::int8_t least = 0, most = 0;
};
/// Codes at `most` stay within the value bound; codes at `least` are whole steps of the grid, and
/// the range is at most 24 wide, so that integer Gram matrices of usual sizes stay exact.
ScaleRange scale_range(Codec codec, float value_bound, int grid_bits);

/// exponents[b] of the next round. `peaks`: rows of exponents.size() entries, from block_peaks().
/// The lower median of a block's peaks over the rows counts, so that fewer than half of the rows
/// cannot move a scale at will. It should reach 32 to 63 of 127 (I4S: 2 to 6 of 7): half of the
/// rows reach further, and none should saturate much. A saturated median says only that more is
/// needed, and raises the scale by three bits (I4S: one). A block whose median row is zero may be
/// too small to be seen, or used by few devices, who must not be cut off: it goes down by three
/// bits, but not below the least of the blocks that do say something.
void adapt_scales(Codec codec, std::span<const std::uint8_t> peaks, ScaleRange range,
                  std::span<std::int8_t> exponents);

}  // namespace muster::robust
