#include "tests/codecs/decode.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/centroids.h"
#include "base/codec_random.h"

namespace muster::testing {
namespace {

using Values = std::vector<double>;

double half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f;
  const double fraction = bits & 0x3ff;
  const double sign = bits >> 15 != 0 ? -1 : 1;
  return sign * (exponent == 0 ? fraction * 0x1p-24 : std::ldexp(1024 + fraction, exponent - 25));
}

double real(ChunkFormat format, ConstBytes values, std::size_t j) {
  if (format.bits == 16) return half(load<std::uint16_t>(values, 2 * j));
  return double{load<float>(values, 4 * j)};
}

int bits_at(ConstBytes packed, std::size_t at, unsigned count) {
  int bits = 0;
  for (unsigned b = 0; b < count; ++b)
    bits |= (std::to_integer<int>(packed[(at + b) / 8]) >> ((at + b) % 8) & 1) << b;
  return bits;
}

/// v = D H v / sqrt(length), D the signs of `key`.
void rotate_back(std::uint64_t key, Values& v) {
  for (std::size_t step = 1; step < v.size(); step *= 2)
    for (std::size_t k = 0; k < v.size(); ++k)
      if ((k & step) == 0) {
        const double a = v[k], b = v[k + step];
        v[k] = a + b;
        v[k + step] = a - b;
      }
  for (std::size_t k = 0; k < v.size(); ++k) {
    const bool flip = (counter_word(key, k / 64) >> (k % 64) & 1) != 0;
    v[k] *= (flip ? -1 : 1) / std::sqrt(static_cast<double>(v.size()));
  }
}

Values decode_scaled(const Decoding& of, ConstBytes payload) {
  Values values(of.d);
  const ConstBytes codes = payload.subspan(4 * scale_count(of.format, of.d));
  for (std::size_t k = 0; k < of.d; ++k) {
    const std::size_t block = k >> of.format.log2_block;
    const double scale = has_shared_scales(of.format.codec)
                             ? std::ldexp(1.0, of.exponents[block])
                             : double{load<float>(payload, 4 * block)};
    int q = 0;
    if (of.format.codec == Codec::kSign1)
      q = bits_at(codes, k, 1) != 0 ? 1 : -1;
    else if (of.format.codec == Codec::kI4B || of.format.codec == Codec::kI4S)
      q = (bits_at(codes, 4 * k, 4) ^ 8) - 8;
    else
      q = static_cast<std::int8_t>(codes[k]);
    values[k] = scale * q;
  }
  return values;
}

Values decode_topk(const Decoding& of, ConstBytes payload) {
  Values values(of.d);
  const std::size_t k = load<std::uint32_t>(payload, 0), width = of.format.bits / 8;
  const ConstBytes reals = payload.subspan(8), positions = reals.subspan(k * width);
  std::size_t at = 0, next = 0;
  for (std::size_t j = 0; j < k; ++j) {
    if (load<std::uint32_t>(payload, 4) == 1) {
      while (bits_at(positions, next, 1) == 0) ++next;
    } else {
      std::size_t gap = 0;
      unsigned shift = 0;
      for (; std::to_integer<int>(positions[at]) >= 128; ++at, shift += 7)
        gap |= (std::to_integer<std::size_t>(positions[at]) & 127) << shift;
      next += gap | std::to_integer<std::size_t>(positions[at++]) << shift;
    }
    values[next++] = real(of.format, reals, j);
  }
  return values;
}

Values decode_randk(const Decoding& of, ConstBytes payload) {
  Values values(of.d);
  std::vector<std::uint32_t> mask(kept_count(of.format, of.d));
  draw_mask(of.key, of.d, mask);
  for (std::size_t j = 0; j < mask.size(); ++j)
    values[mask[j]] =
        real(of.format, payload, j) * static_cast<double>(of.d) / static_cast<double>(mask.size());
  return values;
}

Values decode_rotated(const Decoding& of, ConstBytes payload) {
  const bool eden = of.format.codec == Codec::kEden;
  const std::size_t block = std::size_t{1} << of.format.log2_block;
  const std::size_t rotations = (of.d + block - 1) / block;
  const std::uint64_t chunk = eden ? load<std::uint64_t>(payload) : of.key;
  const ConstBytes codes = payload.subspan(eden ? 8 + 4 * rotations : 8 * rotations);
  Values values;
  for (std::size_t r = 0; r < rotations; ++r) {
    const std::size_t count = std::min(block, of.d - r * block);
    Values v(std::bit_ceil(count));
    for (std::size_t k = 0; k < v.size(); ++k) {
      const int code = bits_at(codes, (r * block + k) * of.format.bits, of.format.bits);
      if (eden)
        v[k] = double{load<float>(payload, 8 + 4 * r)} *
               double{centroids(of.format.bits)[static_cast<std::size_t>(code)]} *
               std::sqrt(static_cast<double>(v.size()));
      else
        v[k] = double{load<float>(payload, 8 * r)} + double{load<float>(payload, 8 * r + 4)} * code;
    }
    rotate_back(rotation_key(chunk, r), v);
    values.insert(values.end(), v.begin(), v.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return values;
}

}  // namespace

Values decode(const Decoding& of, ConstBytes payload) {
  Values values(of.d);
  switch (of.format.codec) {
    case Codec::kF32:
      for (std::size_t k = 0; k < of.d; ++k) values[k] = double{load<float>(payload, 4 * k)};
      return values;
    case Codec::kF16:
      for (std::size_t k = 0; k < of.d; ++k) values[k] = half(load<std::uint16_t>(payload, 2 * k));
      return values;
    case Codec::kBF16:
      for (std::size_t k = 0; k < of.d; ++k)
        values[k] =
            double{std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(payload, 2 * k)} << 16)};
      return values;
    case Codec::kI8B:
    case Codec::kI8S:
    case Codec::kI4B:
    case Codec::kI4S:
    case Codec::kSign1:
      return decode_scaled(of, payload);
    case Codec::kTopK:
      return decode_topk(of, payload);
    case Codec::kRandK:
      return decode_randk(of, payload);
    case Codec::kEden:
    case Codec::kHsq:
      return decode_rotated(of, payload);
  }
  return values;
}

}  // namespace muster::testing
