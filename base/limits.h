// Every maximum of the system in one place, each with its reason. Sizes in bytes unless named.
#pragma once

#include <cstddef>
#include <cstdint>

namespace muster::limits {

/// Longest header frame: the largest body (MissingChunks, 64 Ki bits) plus FlatBuffers overhead.
inline constexpr std::size_t kHeaderBytes = 16 * 1024;
/// Largest payload frame: a chunk of 262,144 f32 coordinates. Above 1 MiB nothing gets faster.
inline constexpr std::size_t kPayloadBytes = 1024 * 1024;
/// Coordinates of a chunk: at least one cache-friendly tile, at most what keeps i32 block sums
/// exact.
inline constexpr std::uint32_t kMinChunkCoordinates = 64;
inline constexpr std::uint32_t kMaxChunkCoordinates = 262'144;
/// Coordinates of a model: 64 Gi bytes of f32 is past what one node should hold.
inline constexpr std::uint64_t kMaxDimension = std::uint64_t{1} << 34;
/// Chunks of one update; bounds the bitmap of a MissingChunks reply.
inline constexpr std::uint32_t kMaxChunks = 65'536;
/// Updates of one round on one node; sums of int32 weights over it stay far inside i64.
inline constexpr std::uint32_t kMaxUpdates = 1u << 24;
/// Largest reported example count; more is clipped by policy, not trusted.
inline constexpr std::uint32_t kMaxWeight = 1u << 20;
/// Tasks at once: the bound of every task label of the metrics.
inline constexpr std::uint32_t kMaxTasks = 32;
/// Task and model names.
inline constexpr std::size_t kNameBytes = 64;
/// Receipts in one reply: a gateway's commit group.
inline constexpr std::size_t kReceiptsPerMessage = 256;
/// A TOML file, an admin request body.
inline constexpr std::size_t kDocumentBytes = 1024 * 1024;
/// JSON header of a safetensors file.
inline constexpr std::size_t kSafetensorsHeaderBytes = 16 * 1024 * 1024;
/// Enrolled device keys.
inline constexpr std::size_t kMaxKeys = 4'000'000;

}  // namespace muster::limits
