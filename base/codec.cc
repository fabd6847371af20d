#include "base/codec.h"

#include <array>

namespace muster {
namespace {
constexpr std::array<std::string_view, kCodecCount> kNames = {"f32", "f16", "bf16", "i8b", "i8s"};
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

std::size_t scale_count(ChunkFormat format, std::size_t d) {
  if (format.codec != Codec::kI8B) return 0;
  const std::size_t block = std::size_t{1} << format.log2_block;
  return (d + block - 1) / block;
}

std::size_t payload_bytes(ChunkFormat format, std::size_t d) {
  switch (format.codec) {
    case Codec::kF32:
      return 4 * d;
    case Codec::kF16:
    case Codec::kBF16:
      return 2 * d;
    case Codec::kI8B:
      return 4 * scale_count(format, d) + d;
    case Codec::kI8S:
      return d;
  }
  return 0;
}

}  // namespace muster
