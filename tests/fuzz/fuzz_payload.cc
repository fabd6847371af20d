// check_payload() against the definition of each codec, one value at a time. Input: codec (its high
// half: bits of rotated codes, or the share of sparse ones), log2 of the block, value bound (f32),
// then the payload, cut to what whole coordinates need.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "ingest/intake.h"

namespace muster::ingest {
namespace {

using wire::Reason;

constexpr std::size_t kHeadBytes = 6;
constexpr std::uint8_t kBlockSizes = 19;  // up to 2^18 coordinates, the longest chunk

/// Most coordinates whose payload is at most `bytes` long.
std::size_t coordinates_in(ChunkFormat format, std::size_t bytes) {
  std::size_t d = std::min(8 * bytes, std::size_t{limits::kMaxChunkCoordinates});
  std::size_t least = 0;  // payload_bytes() never falls with d
  while (least < d) {
    const std::size_t middle = least + (d - least + 1) / 2;
    if (payload_bytes(format, middle) <= bytes)
      least = middle;
    else
      d = middle - 1;
  }
  return d;
}

int bit(ConstBytes packed, std::size_t at) {
  return std::to_integer<int>(packed[at / 8]) >> (at % 8) & 1;
}

double half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f;
  const double fraction = bits & 0x3ff;
  const double sign = bits >> 15 != 0 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? fraction * 0x1p-24 : std::ldexp(1024 + fraction, exponent - 25));
}

/// The reasons in the order in which one is reported when several hold.
struct Findings {
  bool index = false;
  bool scale = false;
  bool infinite = false;
  bool reserved = false;
  bool out_of_bound = false;

  Reason first() const {
    if (index) return Reason::kIndexInvalid;
    if (scale) return Reason::kScaleInvalid;
    if (infinite) return Reason::kValueNotFinite;
    if (reserved) return Reason::kReservedCode;
    return out_of_bound ? Reason::kCoordinateOutOfBound : Reason::kOk;
  }
  void value(double decoded, double bound) {
    infinite |= !std::isfinite(decoded);
    out_of_bound |= std::fabs(decoded) > bound;
  }
  void code(int code, int its_reserved, float its_scale, float bound) {
    reserved |= code == its_reserved;
    out_of_bound |= std::fabs(its_scale * static_cast<float>(code)) > bound;
  }
};

/// The coordinates that k positions name; nothing where they are malformed.
std::optional<std::vector<std::size_t>> named(ConstBytes positions, bool bitmap, std::size_t k,
                                              std::size_t d) {
  std::vector<std::size_t> indices;
  if (bitmap) {
    if (positions.size() != (d + 7) / 8) return std::nullopt;
    for (std::size_t i = 0; i < 8 * positions.size(); ++i)
      if (bit(positions, i) != 0) indices.push_back(i);
  } else {
    std::uint64_t next = 0;
    for (std::size_t at = 0; at < positions.size();) {
      std::uint64_t gap = 0;
      unsigned length = 0;
      int byte = 128;
      for (; byte >= 128 && at < positions.size() && length < 3; ++length) {
        byte = std::to_integer<int>(positions[at++]);
        gap |= static_cast<std::uint64_t>(byte & 127) << (7 * length);
      }
      if (byte >= 128 || (byte == 0 && length > 1)) return std::nullopt;
      indices.push_back(next + gap);
      next += gap + 1;
    }
  }
  if (indices.size() != k || (k > 0 && indices.back() >= d)) return std::nullopt;
  return indices;
}

void find_values(ChunkFormat format, std::size_t n, float bound, ConstBytes values,
                 Findings& found) {
  for (std::size_t j = 0; j < n; ++j)
    found.value(format.bits == 16 ? half(load<std::uint16_t>(values, 2 * j))
                                  : double{load<float>(values, 4 * j)},
                bound);
}

Reason reference_topk(ChunkFormat format, std::size_t d, float bound, ConstBytes payload) {
  const std::size_t k = load<std::uint32_t>(payload), flags = load<std::uint32_t>(payload, 4);
  Findings found;
  if (k > kept_count(format, d) || flags > 1) return Reason::kIndexInvalid;
  const std::size_t head = 8 + k * format.bits / 8;
  if (payload.size() < head) return Reason::kPayloadLength;
  found.index = !named(payload.subspan(head), flags == 1, k, d).has_value();
  find_values(format, k, bound, payload.subspan(8), found);
  return found.first();
}

Reason reference_rotated(ChunkFormat format, std::size_t d, float bound, ConstBytes payload) {
  Findings found;
  const std::size_t rotations = rotation_count(format, d);
  const bool eden = format.codec == Codec::kEden;
  for (std::size_t r = 0; r < rotations; ++r) {
    const auto scale = load<float>(payload, eden ? 8 + 4 * r : 8 * r + 4);
    found.scale |= !std::isfinite(scale) || std::signbit(scale);
    if (eden) continue;
    const auto low = load<float>(payload, 8 * r);
    found.scale |= !std::isfinite(low);
    for (int level = 0; level < 1 << format.bits; ++level)
      found.out_of_bound |=
          !(std::fabs(static_cast<float>(double{low} + double{scale} * level)) <= bound);
  }
  const ConstBytes codes = payload.subspan(eden ? 8 + 4 * rotations : 8 * rotations);
  for (std::size_t at = rotated_length(format, d) * format.bits; at < 8 * codes.size(); ++at)
    found.reserved |= bit(codes, at) != 0;
  return found.first();
}

Reason reference(ChunkFormat format, std::size_t d, float bound,
                 const std::vector<std::int8_t>& exponents, ConstBytes payload) {
  if (format.codec == Codec::kTopK) return reference_topk(format, d, bound, payload);
  if (is_rotated(format.codec)) return reference_rotated(format, d, bound, payload);
  Findings found;
  if (format.codec == Codec::kRandK) {
    find_values(format, kept_count(format, d), bound, payload, found);
    return found.first();
  }
  const std::size_t scales = scale_count(format, d);
  const ConstBytes codes = payload.subspan(4 * scales);
  for (std::size_t b = 0; b < scales; ++b) {
    const auto scale = load<float>(payload, 4 * b);
    found.scale |= !std::isfinite(scale) || std::signbit(scale);
  }
  for (std::size_t k = 0; k < d; ++k) {
    const std::size_t b = k >> format.log2_block;
    switch (format.codec) {
      case Codec::kF32:
        found.value(load<float>(payload, 4 * k), bound);
        break;
      case Codec::kF16:
        found.value(half(load<std::uint16_t>(payload, 2 * k)), bound);
        break;
      case Codec::kBF16: {
        const std::uint32_t bits = load<std::uint16_t>(payload, 2 * k);
        found.value(std::bit_cast<float>(bits << 16), bound);
        break;
      }
      case Codec::kI8B:
      case Codec::kI8S:
      case Codec::kI4B:
      case Codec::kI4S: {
        const float its_scale = has_shared_scales(format.codec) ? std::ldexp(1.0f, exponents[b])
                                                                : load<float>(payload, 4 * b);
        if (format.codec == Codec::kI8B || format.codec == Codec::kI8S) {
          found.code(static_cast<std::int8_t>(codes[k]), -128, its_scale, bound);
          break;
        }
        const int bits = std::to_integer<int>(codes[k / 2]) >> (k % 2 * 4) & 15;
        found.code(bits < 8 ? bits : bits - 16, -8, its_scale, bound);
        if (k + 1 == d && d % 2 == 1) found.reserved |= std::to_integer<int>(codes[k / 2]) > 15;
        break;
      }
      case Codec::kSign1:
        found.value(double{load<float>(payload, 4 * b)}, bound);
        break;
      case Codec::kTopK:
      case Codec::kRandK:
      case Codec::kEden:
      case Codec::kHsq:
        break;
    }
  }
  if (format.codec == Codec::kSign1)
    for (std::size_t at = d; at < 8 * codes.size(); ++at) found.reserved |= bit(codes, at) != 0;
  return found.first();
}

void check(ConstBytes input) {
  if (input.size() <= kHeadBytes) return;
  const auto head = static_cast<std::uint8_t>(input[0]);
  const std::uint8_t more = head >> 4;
  ChunkFormat format{static_cast<Codec>(head % 16 % kCodecCount),
                     static_cast<std::uint8_t>(static_cast<std::uint8_t>(input[1]) % kBlockSizes)};
  if (is_rotated(format.codec)) {
    format.log2_block = std::clamp(format.log2_block, kMinLog2Rotation, kMaxLog2Rotation);
    format.bits = static_cast<std::uint8_t>(1 + more % 8);
  } else if (is_sparse(format.codec)) {
    format.bits = more % 2 == 0 ? 16 : 32;
    format.share = kWholeShare >> (more / 2);
  }
  const float bound = std::fabs(load<float>(input, 2));
  if (!std::isfinite(bound)) return;
  const ConstBytes rest = input.subspan(kHeadBytes);
  const std::size_t d = coordinates_in(format, rest.size());
  if (d == 0) return;
  std::vector<std::int8_t> exponents;
  if (has_shared_scales(format.codec))
    for (std::size_t b = 0; b <= (d - 1) >> format.log2_block; ++b)
      exponents.push_back(static_cast<std::int8_t>(rest[rest.size() - 1 - b % rest.size()]));
  const ConstBytes payload = rest.first(std::min(rest.size(), payload_bytes(format, d)));
  if (!is_payload_length(format, d, payload.size())) return;
  const Reason verdict = check_payload(format, d, bound, exponents, payload);
  MUSTER_CHECK(verdict == reference(format, d, bound, exponents, payload));
}

}  // namespace
}  // namespace muster::ingest

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  muster::ingest::check({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
