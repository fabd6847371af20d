#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/codec_random.h"
#include "client/encode_chunk.h"
#include "client/half.h"

namespace muster::client {
namespace {

/// The values at `indices`, as the round wants them.
void append_values(const ChunkValues& chunk, std::span<const std::uint32_t> indices,
                   Payload& payload) {
  const std::size_t width = chunk.format.bits / 8, head = payload.size();
  payload.resize(head + indices.size() * width);
  const MutableBytes target = MutableBytes(payload).subspan(head);
  for (std::size_t j = 0; j < indices.size(); ++j) {
    const float x = chunk.values[indices[j]];
    if (width == sizeof(float))
      store(target, width * j, x);
    else
      store(target, width * j, to_half_within(x, chunk.bound));
  }
}

/// The k largest magnitudes that are not 0, ascending by index; of equal ones the first.
std::vector<std::uint32_t> largest(std::span<const float> values, std::size_t k) {
  std::vector<std::uint32_t> indices;
  for (std::uint32_t i = 0; i < values.size(); ++i)
    if (values[i] != 0) indices.push_back(i);
  if (indices.size() <= k) return indices;
  std::nth_element(indices.begin(), indices.begin() + static_cast<std::ptrdiff_t>(k), indices.end(),
                   [&](std::uint32_t a, std::uint32_t b) {
                     const float x = std::abs(values[a]), y = std::abs(values[b]);
                     return x != y ? x > y : a < b;
                   });
  indices.resize(k);
  std::sort(indices.begin(), indices.end());
  return indices;
}

Payload gaps_of(std::span<const std::uint32_t> indices) {
  Payload bytes;
  std::uint32_t next = 0;
  for (const std::uint32_t index : indices) {
    std::uint32_t gap = index - next;
    for (; gap > 127; gap >>= 7) bytes.push_back(static_cast<std::byte>(gap | 0x80));
    bytes.push_back(static_cast<std::byte>(gap));
    next = index + 1;
  }
  return bytes;
}

Payload bitmap_of(std::span<const std::uint32_t> indices, std::size_t d) {
  Payload bytes(divide_up(d, std::size_t{8}));
  for (const std::uint32_t index : indices)
    bytes[index / 8] |= static_cast<std::byte>(1u << (index % 8));
  return bytes;
}

}  // namespace

Payload encode_sparse(const ChunkValues& chunk) {
  const std::size_t d = chunk.values.size(), k = kept_count(chunk.format, d);
  Payload payload;
  if (chunk.format.codec == Codec::kRandK) {
    std::vector<std::uint32_t> mask(k);
    draw_mask(chunk.key, d, mask);
    append_values(chunk, mask, payload);
    return payload;
  }
  const std::vector<std::uint32_t> indices = largest(chunk.values, k);
  Payload positions = gaps_of(indices);
  const bool bitmap = positions.size() > divide_up(d, std::size_t{8});
  if (bitmap) positions = bitmap_of(indices, d);
  payload.resize(kTopKHeadBytes);
  store(MutableBytes(payload), 0, static_cast<std::uint32_t>(indices.size()));
  store(MutableBytes(payload), 4, bitmap ? kTopKBitmap : std::uint32_t{0});
  append_values(chunk, indices, payload);
  payload.insert(payload.end(), positions.begin(), positions.end());
  return payload;
}

}  // namespace muster::client
