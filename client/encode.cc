#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/limits.h"
#include "client/client.h"
#include "client/half.h"
#include "client/plan.h"
#include "client/random.h"

namespace muster::client {
namespace {

constexpr float kLargestCode = 127;

/// Uniform in [0, 1), 24 bits: all that fits beside a code in a float's sum.
float unit(Random& random) { return static_cast<float>(random.next() >> 40) * 0x1p-24F; }

/// floor(x + u) within +-most: x in the mean while |x| <= most.
std::int8_t round_stochastic(float x, float most, Random& random) {
  return static_cast<std::int8_t>(std::clamp(std::floor(x + unit(random)), -most, most));
}

/// absmax / 127, moved down where 127 times it would pass `bound` by rounding.
float scale_of(std::span<const float> block, float bound) {
  float largest = 0;
  for (const float x : block) largest = std::max(largest, std::abs(x));
  const float scale = largest / kLargestCode;
  return scale * kLargestCode > bound ? std::nextafter(scale, 0.0F) : scale;
}

void encode_blocks(std::span<const float> values, std::size_t block, float bound, Random& random,
                   MutableBytes payload) {
  const std::size_t scales = divide_up(values.size(), block);
  std::byte* code = payload.data() + scales * sizeof(float);
  for (std::size_t b = 0; b < scales; ++b) {
    const auto part = values.subspan(b * block, std::min(block, values.size() - b * block));
    const float scale = scale_of(part, bound);
    store(payload, b * sizeof(float), scale);
    for (const float x : part)
      *code++ = std::byte(scale > 0 ? round_stochastic(x / scale, kLargestCode, random) : 0);
  }
}

void encode_shared(std::span<const float> values, std::size_t block,
                   std::span<const std::int8_t> exponents, float bound, Random& random,
                   MutableBytes payload) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float scale = std::ldexp(1.0F, exponents[i / block]);
    const float most = std::min(kLargestCode, std::floor(bound / scale));
    payload[i] = std::byte(round_stochastic(values[i] / scale, most, random));
  }
}

}  // namespace

Result<EncodedUpdate> encode(const wire::Assignment& assignment, std::span<const float> delta,
                             std::uint64_t seed) {
  MUSTER_TRY(check_assignment(assignment));
  if (delta.size() != assignment.dimension)
    return Status(Code::kInvalid, "wrong_dimension",
                  "the delta has " + std::to_string(delta.size()) + " values, the model " +
                      std::to_string(assignment.dimension));
  double squares = 0;
  for (const float x : delta) {
    if (!std::isfinite(x))
      return Status(Code::kInvalid, "value_not_finite", "the delta holds NaN or infinity");
    squares += static_cast<double>(x) * static_cast<double>(x);
  }
  const double norm = std::sqrt(squares);
  const bool clip = assignment.clip_norm > 0 && norm > static_cast<double>(assignment.clip_norm);
  const float factor =
      clip ? static_cast<float>(static_cast<double>(assignment.clip_norm) / norm) : 1;
  const float bound =
      assignment.value_bound > 0 ? assignment.value_bound : std::numeric_limits<float>::max();

  EncodedUpdate update;
  update.chunks.resize(chunk_count(assignment));
  std::vector<float> values;
  for (std::uint32_t chunk = 0; chunk < update.chunks.size(); ++chunk) {
    const std::size_t first = std::size_t{chunk} * assignment.chunk_coordinates;
    const std::size_t d = coordinates_of(assignment, chunk);
    values.assign(delta.begin() + static_cast<std::ptrdiff_t>(first),
                  delta.begin() + static_cast<std::ptrdiff_t>(first + d));
    for (float& x : values) x = std::clamp(x * factor, -bound, bound);
    auto& payload = update.chunks[chunk];
    payload.resize(payload_bytes(assignment.format, d));
    const std::size_t block = std::size_t{1} << assignment.format.log2_block;
    Random random(mix(seed, chunk));
    switch (assignment.format.codec) {
      case Codec::kF32:
        std::memcpy(payload.data(), values.data(), payload.size());
        break;
      case Codec::kF16:
        for (std::size_t i = 0; i < d; ++i)
          store(MutableBytes(payload), 2 * i, to_half_within(values[i], bound));
        break;
      case Codec::kBF16:
        for (std::size_t i = 0; i < d; ++i)
          store(MutableBytes(payload), 2 * i, to_bfloat_within(values[i], bound));
        break;
      case Codec::kI8B:
        encode_blocks(values, block, bound, random, payload);
        break;
      case Codec::kI8S:
        encode_shared(values, block, std::span(assignment.scale_exponents).subspan(first / block),
                      bound, random, payload);
        break;
    }
  }
  return update;
}

}  // namespace muster::client
