// The formats that tests of codecs run over, and deltas to encode.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/codec.h"
#include "base/codec_random.h"
#include "client/client.h"

namespace muster::testing {

inline constexpr std::uint32_t share_of(double share) {
  return static_cast<std::uint32_t>(share * kWholeShare);
}

/// Every codec, some in two sizes.
inline std::vector<ChunkFormat> formats(std::uint8_t log2_block = 6) {
  return {{Codec::kF32},
          {Codec::kF16},
          {Codec::kBF16},
          {Codec::kI8B, log2_block},
          {Codec::kI8S, log2_block},
          {Codec::kI4B, log2_block},
          {Codec::kI4S, log2_block},
          {Codec::kSign1, log2_block},
          {Codec::kTopK, 0, 32, false, share_of(0.1)},
          {Codec::kTopK, 0, 16, false, share_of(0.3)},
          {Codec::kRandK, 0, 32, false, share_of(0.25)},
          {Codec::kRandK, 0, 16, false, share_of(1)},
          {Codec::kEden, log2_block, 1},
          {Codec::kEden, log2_block, 3},
          {Codec::kHsq, log2_block, 4},
          {Codec::kHsq, log2_block, 7}};
}

inline std::string name_of(ChunkFormat format) {
  return std::string(codec_name(format.codec)) + " block 2^" + std::to_string(format.log2_block) +
         " bits " + std::to_string(format.bits) + " share " + std::to_string(format.share) +
         (format.zstd ? " zstd" : "");
}

inline wire::Assignment assignment_for(ChunkFormat format, std::uint64_t dimension,
                                       std::uint32_t chunk_coordinates, std::uint64_t seed = 77) {
  wire::Assignment assignment;
  assignment.task = 1;
  assignment.round = 1;
  assignment.dimension = dimension;
  assignment.chunk_coordinates = chunk_coordinates;
  assignment.format = format;
  assignment.value_bound = 16;
  assignment.codec_seed = seed;
  if (has_shared_scales(format.codec))
    assignment.scale_exponents.assign(
        static_cast<std::size_t>((dimension + (1u << format.log2_block) - 1) >> format.log2_block),
        format.codec == Codec::kI8S ? -5 : -1);
  return assignment;
}

enum class Law { kGaussian, kLaplace, kStudent3 };

inline std::vector<float> draw(Law law, std::size_t d, std::uint64_t seed, double width = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::exponential_distribution<double> exponential;
  std::student_t_distribution<double> student(3);
  std::vector<float> values(d);
  for (float& value : values) {
    double x = 0;
    if (law == Law::kGaussian) x = normal(random);
    if (law == Law::kLaplace) x = random() % 2 == 0 ? exponential(random) : -exponential(random);
    if (law == Law::kStudent3) x = student(random);
    value = static_cast<float>(width * x);
  }
  return values;
}

}  // namespace muster::testing
