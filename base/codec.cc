#include "base/codec.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/bytes.h"
#include "base/limits.h"

namespace muster {
namespace {

constexpr std::array<std::string_view, kCodecCount> kNames = {
    "f32", "f16", "bf16", "i8b", "i8s", "i4b", "i4s", "sign1", "topk", "randk", "eden", "hsq"};

std::size_t packed_bytes(std::size_t codes, std::size_t bits) {
  return divide_up(codes * bits, std::size_t{8});
}

std::size_t value_bytes(ChunkFormat format) { return format.bits / 8; }

}  // namespace

std::string_view codec_name(Codec codec) {
  const auto index = static_cast<std::size_t>(codec);
  return index < kNames.size() ? kNames[index] : "unknown";
}

std::optional<Codec> parse_codec(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Codec>(i);
  return std::nullopt;
}

bool is_sound(ChunkFormat format) {
  if (static_cast<std::uint8_t>(format.codec) >= kCodecCount) return false;
  if (format.log2_block >= 32 || 1u << format.log2_block > limits::kMaxChunkCoordinates)
    return false;
  if (format.zstd && format.codec == Codec::kTopK) return false;
  if (is_rotated(format.codec))
    return format.log2_block >= kMinLog2Rotation && format.log2_block <= kMaxLog2Rotation &&
           format.bits >= 1 && format.bits <= 8 && format.share == 0;
  if (is_sparse(format.codec))
    return (format.bits == 16 || format.bits == 32) && format.share >= 1 &&
           format.share <= kWholeShare;
  return format.bits == 0 && format.share == 0;
}

bool has_shared_scales(Codec codec) { return codec == Codec::kI8S || codec == Codec::kI4S; }
bool has_blocks(Codec codec) {
  return has_shared_scales(codec) || codec == Codec::kI8B || codec == Codec::kI4B ||
         codec == Codec::kSign1;
}
bool is_rotated(Codec codec) { return codec == Codec::kEden || codec == Codec::kHsq; }
bool is_sparse(Codec codec) { return codec == Codec::kTopK || codec == Codec::kRandK; }
bool needs_expansion(Codec codec) { return codec == Codec::kEden || codec == Codec::kTopK; }
bool in_round_space(Codec codec) { return codec == Codec::kRandK || codec == Codec::kHsq; }

std::size_t scale_count(ChunkFormat format, std::size_t d) {
  if (!has_blocks(format.codec) || has_shared_scales(format.codec)) return 0;
  return divide_up(d, std::size_t{1} << format.log2_block);
}

std::size_t kept_count(ChunkFormat format, std::size_t d) {
  return divide_up(d * format.share, std::size_t{kWholeShare});
}

std::size_t rotation_count(ChunkFormat format, std::size_t d) {
  return divide_up(d, std::size_t{1} << format.log2_block);
}

std::size_t rotated_length(ChunkFormat format, std::size_t d) {
  const std::size_t left = d % (std::size_t{1} << format.log2_block);
  return d - left + (left == 0 ? 0 : std::bit_ceil(left));
}

unsigned log2_rotation(ChunkFormat format, std::size_t d, std::size_t index) {
  const std::size_t left = d - (index << format.log2_block);
  return std::min<unsigned>(format.log2_block,
                            static_cast<unsigned>(std::bit_width(std::bit_ceil(left)) - 1));
}

std::size_t rule_coordinates(ChunkFormat format, std::size_t d) {
  if (format.codec == Codec::kRandK) return kept_count(format, d);
  return format.codec == Codec::kHsq ? rotated_length(format, d) : d;
}

int restore_headroom_bits(ChunkFormat format) {
  // |H s| / sqrt(m) is at most sqrt(m) times the largest of m sums.
  if (format.codec == Codec::kHsq) return (format.log2_block + 1) / 2;
  if (format.codec != Codec::kRandK) return 0;
  // d / k is at most kWholeShare / share.
  return static_cast<int>(std::bit_width((kWholeShare - 1) / format.share));
}

std::size_t topk_index_bytes(std::size_t d, std::size_t k) {
  return std::min(packed_bytes(d, 1), k + d / 128 + d / 16'384);
}

std::size_t payload_bytes(ChunkFormat format, std::size_t d) {
  const std::size_t scales = sizeof(float) * scale_count(format, d);
  switch (format.codec) {
    case Codec::kF32:
      return 4 * d;
    case Codec::kF16:
    case Codec::kBF16:
      return 2 * d;
    case Codec::kI8B:
    case Codec::kI8S:
      return scales + d;
    case Codec::kI4B:
    case Codec::kI4S:
      return scales + packed_bytes(d, 4);
    case Codec::kSign1:
      return scales + packed_bytes(d, 1);
    case Codec::kTopK: {
      const std::size_t k = kept_count(format, d);
      return kTopKHeadBytes + k * value_bytes(format) + topk_index_bytes(d, k);
    }
    case Codec::kRandK:
      return kept_count(format, d) * value_bytes(format);
    case Codec::kEden:
      return kEdenHeadBytes + sizeof(float) * rotation_count(format, d) +
             packed_bytes(rotated_length(format, d), format.bits);
    case Codec::kHsq:
      return kHsqHeadBytes * rotation_count(format, d) +
             packed_bytes(rotated_length(format, d), format.bits);
  }
  return 0;
}

bool is_payload_length(ChunkFormat format, std::size_t d, std::size_t bytes) {
  const std::size_t most = payload_bytes(format, d);
  if (format.codec == Codec::kTopK) return bytes >= kTopKHeadBytes && bytes <= most;
  return bytes == most || (format.zstd && bytes > 0 && bytes < most);
}

}  // namespace muster
