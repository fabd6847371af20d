// The layout of an encoded chunk: what device, ingest and kernels must agree on to the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace muster {

/// How a chunk's coordinates are coded. The numbers are wire format.
enum class Codec : std::uint8_t {
  kF32 = 0,   ///< d IEEE binary32
  kF16 = 1,   ///< d IEEE binary16
  kBF16 = 2,  ///< d bfloat16
  kI8B = 3,   ///< ceil(d / block) f32 scales, then d int8 in [-127, 127]; value = scale * q
  kI8S = 4,   ///< d int8 in [-127, 127]; value = 2^e * q, e from the round's table
};
inline constexpr std::uint8_t kCodecCount = 5;

/// Codec and block size of a round. `log2_block` counts coordinates and matters to I8B (the scales
/// of a chunk) and I8S (the entries of the round's exponent table); 0 otherwise.
struct ChunkFormat {
  Codec codec = Codec::kF32;
  std::uint8_t log2_block = 0;
  bool operator==(const ChunkFormat&) const = default;
};

/// "f32", "f16", "bf16", "i8b", "i8s".
std::string_view codec_name(Codec codec);
std::optional<Codec> parse_codec(std::string_view name);

/// Scales at the head of a chunk payload of `d` coordinates, in number (f32 each).
std::size_t scale_count(ChunkFormat format, std::size_t d);
/// Exact payload length of a chunk of `d` coordinates, in bytes.
std::size_t payload_bytes(ChunkFormat format, std::size_t d);

}  // namespace muster
