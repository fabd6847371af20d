// The layout of an encoded chunk: what device, ingest and kernels must agree on to the byte.
// docs/codecs.md shows every layout; numbers are little-endian, bits are packed from the low end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace muster {

/// How a chunk's coordinates are coded. The numbers are wire format.
enum class Codec : std::uint8_t {
  kF32 = 0,    ///< d IEEE binary32
  kF16 = 1,    ///< d IEEE binary16
  kBF16 = 2,   ///< d bfloat16
  kI8B = 3,    ///< ceil(d / block) f32 scales, then d int8 in [-127, 127]; value = scale * q
  kI8S = 4,    ///< d int8 in [-127, 127]; value = 2^e * q, e from the round's table
  kI4B = 5,    ///< as I8B with 4-bit codes in [-7, 7], two a byte, the low half first
  kI4S = 6,    ///< as I8S with 4-bit codes
  kSign1 = 7,  ///< ceil(d / block) f32 scales, then d bits; value = scale where 1, else -scale
  kTopK = 8,   ///< the k <= kept_count coordinates a device chose, and their values
  kRandK = 9,  ///< values of the kept_count coordinates that the round's seed chose, f32 or f16
  kEden = 10,  ///< u64 seed, an f32 scale a rotation block, then one centroid index a coordinate
  kHsq = 11,   ///< f32 low and step a rotation block, then one code a coordinate
};
inline constexpr std::uint8_t kCodecCount = 12;

/// What a round fixes about its payloads. Fields a codec has no use for are 0.
struct ChunkFormat {
  Codec codec = Codec::kF32;
  /// I8B, I4B, SIGN1: coordinates of a scale; I8S, I4S: of an entry of the round's exponent table;
  /// EDEN, HSQ: of a rotation, at most 2^kMaxLog2Rotation.
  std::uint8_t log2_block = 0;
  /// EDEN, HSQ: bits of a code, 1 to 8. TOPK, RANDK: bits of a value, 16 or 32.
  std::uint8_t bits = 0;
  /// The payload may be one zstd frame (docs/codecs.md).
  bool zstd = false;
  /// TOPK, RANDK: share of the coordinates that is kept, in 1 / kWholeShare.
  std::uint32_t share = 0;
  bool operator==(const ChunkFormat&) const = default;
};
inline constexpr std::uint32_t kWholeShare = 65'536;
/// A rotation of 2^16 f32 values fits the second cache level; rotations begin at whole bytes.
inline constexpr std::uint8_t kMinLog2Rotation = 3, kMaxLog2Rotation = 16;

/// "f32", "f16", "bf16", "i8b", "i8s", "i4b", "i4s", "sign1", "topk", "randk", "eden", "hsq".
std::string_view codec_name(Codec codec);
std::optional<Codec> parse_codec(std::string_view name);

/// Whether every field is one a round may have: known codec, block, bits and share in range, zstd
/// only where the raw length is exact.
bool is_sound(ChunkFormat format);

// What kind of codec it is.
bool has_shared_scales(Codec codec);  ///< I8S, I4S: exponents come from the round's table
bool has_blocks(Codec codec);         ///< chunks must be cut at multiples of a block of scales
bool is_rotated(Codec codec);         ///< EDEN, HSQ
bool is_sparse(Codec codec);          ///< TOPK, RANDK
/// EDEN, TOPK: what a device sends lies in a space of its own; rules need the decoded values.
bool needs_expansion(Codec codec);
/// RANDK, HSQ: the rules work on other coordinates than the model's, the same for all devices.
bool in_round_space(Codec codec);

/// Scales at the head of a chunk payload of `d` coordinates, in number (f32 each).
std::size_t scale_count(ChunkFormat format, std::size_t d);
/// TOPK: most coordinates a chunk of `d` may name; RANDK: how many it has. At least 1.
std::size_t kept_count(ChunkFormat format, std::size_t d);

/// EDEN, HSQ: a chunk is cut into rotations of 2^log2_block coordinates; what is left over is
/// padded with zeros to a power of two of its own.
std::size_t rotation_count(ChunkFormat format, std::size_t d);
/// Coordinates of all rotations of a chunk, padding included.
std::size_t rotated_length(ChunkFormat format, std::size_t d);
/// log2 of the length of rotation `index` of a chunk.
unsigned log2_rotation(ChunkFormat format, std::size_t d, std::size_t index);

/// Coordinates of the chunk as the rules see it: d but for RANDK (kept_count) and HSQ
/// (rotated_length).
std::size_t rule_coordinates(ChunkFormat format, std::size_t d);

/// By how many bits a sum can grow on its way from the coordinates of the rules to the model's
/// (RANDK, HSQ; else 0): the grid of a round leaves them free.
int restore_headroom_bits(ChunkFormat format);

/// Payload length of a chunk of `d` coordinates, in bytes, before zstd; the most there is for TOPK.
std::size_t payload_bytes(ChunkFormat format, std::size_t d);
/// Whether a payload may be of this length.
bool is_payload_length(ChunkFormat format, std::size_t d, std::size_t bytes);

// TOPK: [u32 k][u32 flags][k values][indices]. The indices are gaps - 1 in LEB128 (the first one
// counts from -1), or one bit a coordinate, whichever is shorter.
inline constexpr std::size_t kTopKHeadBytes = 8;
inline constexpr std::uint32_t kTopKBitmap = 1;  ///< the only flag
/// Most bytes of indices, given the shorter of the two forms: a gap takes one byte, and one more
/// for each of the at most d / 128 gaps past 128 and d / 16384 past 16384.
std::size_t topk_index_bytes(std::size_t d, std::size_t k);

// EDEN: [u64 seed][scales][indices]; HSQ: [low, step a rotation][codes].
inline constexpr std::size_t kEdenHeadBytes = 8;
inline constexpr std::size_t kHsqHeadBytes = 8;  ///< a rotation

}  // namespace muster
