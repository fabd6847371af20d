#include <algorithm>
#include <cmath>
#include <limits>

#include "base/codec_random.h"
#include "client/client.h"
#include "client/deflate.h"
#include "client/encode_chunk.h"
#include "client/plan.h"
#include "client/random.h"

namespace muster::client {
namespace {

Payload encode_chunk(const ChunkValues& chunk, Random& random) {
  switch (chunk.format.codec) {
    case Codec::kF32:
    case Codec::kF16:
    case Codec::kBF16:
      return encode_floats(chunk);
    case Codec::kI8B:
    case Codec::kI8S:
    case Codec::kI4B:
    case Codec::kI4S:
    case Codec::kSign1:
      return encode_scaled(chunk, random);
    case Codec::kTopK:
    case Codec::kRandK:
      return encode_sparse(chunk);
    case Codec::kEden:
    case Codec::kHsq:
      return encode_rotated(chunk, random);
  }
  return {};
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
    ChunkValues input{
        assignment.format, values, bound, {}, chunk_key(assignment.codec_seed, chunk)};
    if (has_shared_scales(assignment.format.codec))
      input.exponents =
          std::span(assignment.scale_exponents).subspan(first >> assignment.format.log2_block);
    Random random(mix(seed, chunk));
    Payload payload = encode_chunk(input, random);
    update.chunks[chunk] = input.format.zstd ? deflated(std::move(payload)) : std::move(payload);
  }
  return update;
}

}  // namespace muster::client
