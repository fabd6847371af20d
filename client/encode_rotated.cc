#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/centroids.h"
#include "base/codec_random.h"
#include "client/encode_chunk.h"
#include "client/pack.h"
#include "client/rotate.h"

namespace muster::client {
namespace {

/// How near an EDEN device goes to the bound: the server transforms in f32.
constexpr double kEdenMargin = 1 - 1e-5;

/// The coordinates of rotation `index`, padded with zeros.
std::vector<double> part_of(const ChunkValues& chunk, std::size_t index) {
  const std::size_t first = index << chunk.format.log2_block;
  const std::size_t length = std::size_t{1}
                             << log2_rotation(chunk.format, chunk.values.size(), index);
  std::vector<double> part(length);
  const auto values = chunk.values.subspan(first, std::min(length, chunk.values.size() - first));
  std::copy(values.begin(), values.end(), part.begin());
  return part;
}

std::size_t nearest(std::span<const float> levels, double x) {
  const auto above =
      std::lower_bound(levels.begin(), levels.end(), x,
                       [](float level, double value) { return double{level} < value; });
  const auto i = static_cast<std::size_t>(above - levels.begin());
  if (i == 0) return 0;
  if (i == levels.size()) return i - 1;
  return x - double{levels[i - 1]} <= double{levels[i]} - x ? i - 1 : i;
}

/// Writes the codes of one rotation; its scale.
float encode_eden(const ChunkValues& chunk, std::size_t index, std::uint64_t seed, Packer& codes) {
  const auto levels = centroids(chunk.format.bits);
  std::vector<double> y = part_of(chunk, index);
  double squares = 0;
  for (const double x : y) squares += x * x;
  const std::uint64_t key = rotation_key(seed, index);
  flip_signs(key, y);
  hadamard(y);
  // y = sqrt(m) * rotated x: divided by |x| its coordinates are near N(0, 1).
  const double norm = std::sqrt(squares);
  double product = 0;
  for (double& coordinate : y) {
    const std::size_t code = nearest(levels, norm > 0 ? coordinate / norm : 0);
    codes.add(static_cast<unsigned>(code));
    product += coordinate * double{levels[code]};
    coordinate = double{levels[code]};
  }
  if (!(norm > 0)) return 0;
  // S = |x|^2 / <q, y / sqrt(m)>, and 1 / sqrt(m) for the way back.
  double scale = squares / product;
  hadamard(y);
  double largest = 0;
  for (const double coordinate : y) largest = std::max(largest, std::abs(coordinate));
  scale = std::min(scale, double{chunk.bound} * kEdenMargin / largest);
  return static_cast<float>(scale);
}

struct HsqHead {
  float low, step;
};

HsqHead encode_hsq(const ChunkValues& chunk, std::size_t index, Random& random, Packer& codes) {
  std::vector<double> y = part_of(chunk, index);
  flip_signs(rotation_key(chunk.key, index), y);
  hadamard(y);
  const double root = std::sqrt(static_cast<double>(y.size()));
  const double bound = double{chunk.bound};
  for (double& coordinate : y) coordinate = std::clamp(coordinate / root, -bound, bound);
  const auto [least, greatest] = std::minmax_element(y.begin(), y.end());
  const double top = (1u << chunk.format.bits) - 1;
  HsqHead head{static_cast<float>(*least), static_cast<float>((*greatest - *least) / top)};
  const auto highest = [&] {
    return static_cast<float>(double{head.low} + double{head.step} * top);
  };
  while (highest() > chunk.bound) head.step = std::nextafter(head.step, 0.0F);
  for (const double coordinate : y) {
    const double level = head.step > 0 ? (coordinate - double{head.low}) / double{head.step} : 0;
    codes.add(static_cast<unsigned>(std::clamp(std::floor(level + random.uniform()), 0.0, top)));
  }
  return head;
}

}  // namespace

Payload encode_rotated(const ChunkValues& chunk, Random& random) {
  const std::size_t d = chunk.values.size();
  const std::size_t rotations = rotation_count(chunk.format, d);
  Payload payload(payload_bytes(chunk.format, d));
  const MutableBytes bytes(payload);
  if (chunk.format.codec == Codec::kEden) {
    const std::uint64_t seed = random.next();
    store(bytes, 0, seed);
    Packer codes(bytes.subspan(kEdenHeadBytes + rotations * sizeof(float)), chunk.format.bits);
    for (std::size_t r = 0; r < rotations; ++r)
      store(bytes, kEdenHeadBytes + r * sizeof(float), encode_eden(chunk, r, seed, codes));
    return payload;
  }
  Packer codes(bytes.subspan(rotations * kHsqHeadBytes), chunk.format.bits);
  for (std::size_t r = 0; r < rotations; ++r)
    store(bytes, r * kHsqHeadBytes, encode_hsq(chunk, r, random, codes));
  return payload;
}

}  // namespace muster::client
