// What a payload says, in f64, by the words of docs/codecs.md: shares no arithmetic with client/ or
// kernels/, only the drawing of seeds (base/codec_random.h) and the centroids.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/codec.h"

namespace muster::testing {

struct Decoding {
  ChunkFormat format;
  std::size_t d = 0;
  std::span<const std::int8_t> exponents = {};  ///< I8S, I4S: of the chunk's blocks
  std::uint64_t key = 0;                        ///< RANDK, HSQ: chunk_key of the round's seed
};

/// The d coordinates of the model that a sound payload (inflated) stands for.
std::vector<double> decode(const Decoding& decoding, ConstBytes payload);

}  // namespace muster::testing
