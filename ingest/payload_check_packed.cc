// Checks of packed codes: four bits, sparse and rotated.
#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "ingest/payload_check.h"

namespace muster::ingest {
namespace {

using wire::Reason;

constexpr float kLargestNibble = 7;

/// Whether a byte holds -8, in either half.
bool holds_reserved(std::byte byte) {
  const auto bits = std::to_integer<unsigned>(byte);
  return (bits & 0x0f) == 0x08 || (bits & 0xf0) == 0x80;
}

int nibble(ConstBytes codes, std::size_t k) {
  const auto bits = std::to_integer<int>(codes[k / 2]) >> (k % 2 * 4) & 0x0f;
  return bits < 8 ? bits : bits - 16;
}

/// k gaps in shortest LEB128, all of `bytes`, that stay below d.
bool gaps_are_sound(ConstBytes bytes, std::size_t k, std::size_t d) {
  std::size_t at = 0, next = 0;
  for (std::size_t j = 0; j < k; ++j) {
    std::size_t gap = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at == bytes.size() || shift > 14) return false;
      const auto byte = std::to_integer<unsigned>(bytes[at++]);
      gap |= static_cast<std::size_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      if (byte == 0 && shift > 0) return false;
      break;
    }
    if (gap >= d - next) return false;
    next += gap + 1;
  }
  return at == bytes.size();
}

bool bitmap_is_sound(ConstBytes bytes, std::size_t k, std::size_t d) {
  if (bytes.size() != divide_up(d, std::size_t{8}) || !spare_bits_are_zero(bytes, d)) return false;
  std::size_t count = 0;
  for (const std::byte byte : bytes)
    count += static_cast<std::size_t>(std::popcount(std::to_integer<unsigned>(byte)));
  return count == k;
}

}  // namespace

bool spare_bits_are_zero(ConstBytes packed, std::size_t bits) {
  return bits % 8 == 0 || std::to_integer<unsigned>(packed[bits / 8]) >> (bits % 8) == 0;
}

Reason check_nibbles(ConstBytes codes, std::size_t d, std::size_t block, float largest,
                     float value_bound, const std::function<float(std::size_t)>& scale_of) {
  if (!spare_bits_are_zero(codes, 4 * d)) return Reason::kReservedCode;
  bool reserved = false;
  for (const std::byte byte : codes) reserved |= holds_reserved(byte);
  if (reserved) return Reason::kReservedCode;
  if (!(largest * kLargestNibble > value_bound)) return Reason::kOk;
  for (std::size_t b = 0; b * block < d; ++b) {
    int magnitude = 0;
    for (std::size_t k = b * block; k < std::min(d, (b + 1) * block); ++k)
      magnitude = std::max(magnitude, std::abs(nibble(codes, k)));
    if (scale_of(b) * static_cast<float>(magnitude) > value_bound)
      return Reason::kCoordinateOutOfBound;
  }
  return Reason::kOk;
}

Reason check_topk(ChunkFormat format, std::size_t d, float value_bound, ConstBytes payload) {
  const std::size_t k = load<std::uint32_t>(payload, 0);
  const auto flags = load<std::uint32_t>(payload, 4);
  const std::size_t width = format.bits / 8;
  if (k > kept_count(format, d) || (flags & ~kTopKBitmap) != 0) return Reason::kIndexInvalid;
  if (payload.size() < kTopKHeadBytes + k * width) return Reason::kPayloadLength;
  const ConstBytes indices = payload.subspan(kTopKHeadBytes + k * width);
  if (!(flags != 0 ? bitmap_is_sound(indices, k, d) : gaps_are_sound(indices, k, d)))
    return Reason::kIndexInvalid;
  return check_floats(width == 2 ? Codec::kF16 : Codec::kF32, k, value_bound,
                      payload.data() + kTopKHeadBytes);
}

Reason check_rotated(ChunkFormat format, std::size_t d, float value_bound, ConstBytes payload) {
  const std::size_t rotations = rotation_count(format, d);
  const bool eden = format.codec == Codec::kEden;
  const std::size_t head =
      eden ? kEdenHeadBytes + rotations * sizeof(float) : rotations * kHsqHeadBytes;
  if (eden && !scales_are_sound(payload.data() + kEdenHeadBytes, rotations))
    return Reason::kScaleInvalid;
  bool in_bound = true;
  for (std::size_t r = 0; !eden && r < rotations; ++r) {
    const auto low = load<float>(payload, r * kHsqHeadBytes);
    const auto step = load<float>(payload, r * kHsqHeadBytes + sizeof(float));
    if (!std::isfinite(low) || !std::isfinite(step) || std::signbit(step))
      return Reason::kScaleInvalid;
    const double top = double{low} + double{step} * ((1 << format.bits) - 1);
    in_bound &= std::fabs(low) <= value_bound && std::fabs(static_cast<float>(top)) <= value_bound;
  }
  if (!spare_bits_are_zero(payload.subspan(head), rotated_length(format, d) * format.bits))
    return Reason::kReservedCode;
  return in_bound ? Reason::kOk : Reason::kCoordinateOutOfBound;
}

}  // namespace muster::ingest
