// The encoders, one a family of codecs; what they write is laid out by base/codec.h. Inside this
// room only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/codec.h"
#include "client/random.h"

namespace muster::client {

/// One chunk on its way into a payload.
struct ChunkValues {
  ChunkFormat format;
  std::span<const float> values;           ///< finite, |x| <= bound
  float bound = 0;                         ///< decoded coordinates stay within it
  std::span<const std::int8_t> exponents;  ///< I8S, I4S: of this chunk's blocks
  std::uint64_t key = 0;                   ///< RANDK, HSQ: chunk_key of the round's seed
};
using Payload = std::vector<std::byte>;

/// F32, F16, BF16. To the nearest.
Payload encode_floats(const ChunkValues& chunk);
/// I8B, I4B, I8S, I4S: stochastic rounding, unbiased unless it saturates. SIGN1: a block's mean
/// magnitude and signs; biased.
Payload encode_scaled(const ChunkValues& chunk, Random& random);
/// TOPK: the largest magnitudes; biased. RANDK: the coordinates of the round's mask; unbiased over
/// masks once the server has multiplied by d / k.
Payload encode_sparse(const ChunkValues& chunk);
/// EDEN (Vargaftik et al. 2022; DRIVE at one bit): random rotation, nearest centroid, the scale
/// that makes it unbiased. HSQ: the round's rotation, stochastic rounding between the least and the
/// greatest coordinate.
Payload encode_rotated(const ChunkValues& chunk, Random& random);

}  // namespace muster::client
