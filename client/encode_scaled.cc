#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bytes.h"
#include "client/encode_chunk.h"
#include "client/half.h"
#include "client/pack.h"

namespace muster::client {
namespace {

/// Uniform in [0, 1), 24 bits: all that fits beside a code in a float's sum.
float unit(Random& random) { return static_cast<float>(random.next() >> 40) * 0x1p-24F; }

/// floor(x + u) within +-most: x in the mean while |x| <= most.
int round_stochastic(float x, float most, Random& random) {
  return static_cast<int>(std::clamp(std::floor(x + unit(random)), -most, most));
}

bool has_small_codes(Codec codec) { return codec == Codec::kI4B || codec == Codec::kI4S; }
float largest_code(Codec codec) { return has_small_codes(codec) ? 7 : 127; }

/// absmax / most, moved down where `most` times it would pass `bound` by rounding.
float scale_of(std::span<const float> block, float most, float bound) {
  float largest = 0;
  for (const float x : block) largest = std::max(largest, std::abs(x));
  const float scale = largest / most;
  return scale * most > bound ? std::nextafter(scale, 0.0F) : scale;
}

float mean_magnitude(std::span<const float> block, float bound) {
  double sum = 0;
  for (const float x : block) sum += static_cast<double>(std::abs(x));
  return std::min(bound, static_cast<float>(sum / static_cast<double>(block.size())));
}

void encode_own_scales(const ChunkValues& chunk, Random& random, MutableBytes payload,
                       Packer& codes) {
  const std::size_t block = std::size_t{1} << chunk.format.log2_block;
  const float most = largest_code(chunk.format.codec);
  const unsigned mask = has_small_codes(chunk.format.codec) ? 15 : 255;
  for (std::size_t b = 0; b < scale_count(chunk.format, chunk.values.size()); ++b) {
    const auto part =
        chunk.values.subspan(b * block, std::min(block, chunk.values.size() - b * block));
    const float scale = scale_of(part, most, chunk.bound);
    store(payload, b * sizeof(float), scale);
    for (const float x : part) {
      const int code = scale > 0 ? round_stochastic(x / scale, most, random) : 0;
      codes.add(static_cast<unsigned>(code) & mask);
    }
  }
}

void encode_shared_scales(const ChunkValues& chunk, Random& random, Packer& codes) {
  const unsigned mask = has_small_codes(chunk.format.codec) ? 15 : 255;
  for (std::size_t i = 0; i < chunk.values.size(); ++i) {
    const float scale = std::ldexp(1.0F, chunk.exponents[i >> chunk.format.log2_block]);
    const float most = std::min(largest_code(chunk.format.codec), std::floor(chunk.bound / scale));
    codes.add(static_cast<unsigned>(round_stochastic(chunk.values[i] / scale, most, random)) &
              mask);
  }
}

void encode_signs(const ChunkValues& chunk, MutableBytes payload, Packer& codes) {
  const std::size_t block = std::size_t{1} << chunk.format.log2_block;
  for (std::size_t b = 0; b < scale_count(chunk.format, chunk.values.size()); ++b) {
    const auto part =
        chunk.values.subspan(b * block, std::min(block, chunk.values.size() - b * block));
    store(payload, b * sizeof(float), mean_magnitude(part, chunk.bound));
    for (const float x : part) codes.add(x >= 0 ? 1 : 0);
  }
}

}  // namespace

Payload encode_floats(const ChunkValues& chunk) {
  Payload payload(payload_bytes(chunk.format, chunk.values.size()));
  if (chunk.format.codec == Codec::kF32) {
    std::memcpy(payload.data(), chunk.values.data(), payload.size());
    return payload;
  }
  for (std::size_t i = 0; i < chunk.values.size(); ++i)
    store(MutableBytes(payload), 2 * i,
          chunk.format.codec == Codec::kF16 ? to_half_within(chunk.values[i], chunk.bound)
                                            : to_bfloat_within(chunk.values[i], chunk.bound));
  return payload;
}

Payload encode_scaled(const ChunkValues& chunk, Random& random) {
  const Codec codec = chunk.format.codec;
  Payload payload(payload_bytes(chunk.format, chunk.values.size()));
  const std::size_t head = sizeof(float) * scale_count(chunk.format, chunk.values.size());
  Packer codes(MutableBytes(payload).subspan(head), codec == Codec::kSign1   ? 1
                                                    : has_small_codes(codec) ? 4
                                                                             : 8);
  if (codec == Codec::kSign1)
    encode_signs(chunk, payload, codes);
  else if (has_shared_scales(codec))
    encode_shared_scales(chunk, random, codes);
  else
    encode_own_scales(chunk, random, payload, codes);
  return payload;
}

}  // namespace muster::client
