// check_payload(): one pass of integer minima and maxima over bytes that the checksum has just
// brought into the cache. Every value test is monotone, so the extremes decide for all.
#include "ingest/payload_check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "ingest/intake.h"

namespace muster::ingest {
namespace {

using wire::Reason;

constexpr std::uint32_t kInfinity32 = 0x7f800000;
constexpr std::uint16_t kInfinity16 = 0x7c00;
constexpr std::uint16_t kInfinityB16 = 0x7f80;
constexpr int kReserved = -128;

struct Extremes {
  std::int8_t least = 0;
  std::int8_t most = 0;
  int magnitude() const { return std::max<int>(most, -least); }
};

// The loops, compiled once per level below. Plain reductions: g++ turns each into one load and one
// or two vector operations a step, which is all the speed that memory allows.
template <class Word>
[[gnu::always_inline]] inline Word largest_loop(const std::byte* data, std::size_t n, Word mask) {
  Word most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    Word word;
    std::memcpy(&word, data + i * sizeof word, sizeof word);
    word = static_cast<Word>(word & mask);
    most = word > most ? word : most;
  }
  return most;
}

[[gnu::always_inline]] inline Extremes extremes_loop(const std::byte* data, std::size_t n) {
  Extremes extremes;
  for (std::size_t i = 0; i < n; ++i) {
    const auto code = static_cast<std::int8_t>(data[i]);
    extremes.least = code < extremes.least ? code : extremes.least;
    extremes.most = code > extremes.most ? code : extremes.most;
  }
  return extremes;
}

struct Loops {
  std::uint32_t (*largest32)(const std::byte*, std::size_t, std::uint32_t);
  std::uint16_t (*largest16)(const std::byte*, std::size_t, std::uint16_t);
  Extremes (*extremes)(const std::byte*, std::size_t);
};

std::uint32_t largest32(const std::byte* data, std::size_t n, std::uint32_t mask) {
  return largest_loop(data, n, mask);
}
std::uint16_t largest16(const std::byte* data, std::size_t n, std::uint16_t mask) {
  return largest_loop(data, n, mask);
}
Extremes extremes(const std::byte* data, std::size_t n) { return extremes_loop(data, n); }

#if defined(__x86_64__)
[[gnu::target("avx2")]] std::uint32_t largest32_avx2(const std::byte* data, std::size_t n,
                                                     std::uint32_t mask) {
  return largest_loop(data, n, mask);
}
[[gnu::target("avx2")]] std::uint16_t largest16_avx2(const std::byte* data, std::size_t n,
                                                     std::uint16_t mask) {
  return largest_loop(data, n, mask);
}
[[gnu::target("avx2")]] Extremes extremes_avx2(const std::byte* data, std::size_t n) {
  return extremes_loop(data, n);
}
#endif

const Loops& loops() {
  static const Loops chosen = [] {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return Loops{largest32_avx2, largest16_avx2, extremes_avx2};
#endif
    return Loops{largest32, largest16, extremes};
  }();
  return chosen;
}

// Of a finite, not negative half.
float from_half(std::uint16_t bits) {
  const int exponent = bits >> 10;
  const int mantissa = bits & 0x3ff;
  return exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                       : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

float from_bfloat(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

Reason judge(bool finite, float magnitude, float value_bound) {
  if (!finite) return Reason::kValueNotFinite;
  return magnitude > value_bound ? Reason::kCoordinateOutOfBound : Reason::kOk;
}

/// The largest of f32 scales; nothing where one is not finite or has a sign.
std::optional<float> largest_scale(const std::byte* scales, std::size_t n) {
  // As unsigned numbers, infinity, every NaN and everything with a sign lie above the finite.
  const std::uint32_t most = loops().largest32(scales, n, 0xffffffff);
  if (most >= kInfinity32) return std::nullopt;
  return std::bit_cast<float>(most);
}

/// Codes of blocks with scales scale_of(0), scale_of(1), ...; `largest` is the largest of them.
template <class ScaleOf>
Reason check_codes(ConstBytes codes, std::size_t block, float largest, float value_bound,
                   const ScaleOf& scale_of) {
  // As decoding multiplies: in f32. Rounding keeps the order, so the largest product decides.
  if (!(largest * 127.0f > value_bound))
    return loops().extremes(codes.data(), codes.size()).least == kReserved ? Reason::kReservedCode
                                                                           : Reason::kOk;
  bool in_bound = true;
  for (std::size_t b = 0, at = 0; at < codes.size(); ++b, at += block) {
    const std::size_t n = std::min(block, codes.size() - at);
    const Extremes found = loops().extremes(codes.data() + at, n);
    if (found.least == kReserved) return Reason::kReservedCode;
    in_bound &= !(scale_of(b) * static_cast<float>(found.magnitude()) > value_bound);
  }
  return in_bound ? Reason::kOk : Reason::kCoordinateOutOfBound;
}

}  // namespace

Reason check_floats(Codec codec, std::size_t n, float value_bound, const std::byte* data) {
  if (codec == Codec::kF32) {
    const std::uint32_t most = loops().largest32(data, n, 0x7fffffff);
    return judge(most < kInfinity32, std::bit_cast<float>(most), value_bound);
  }
  const std::uint16_t most = loops().largest16(data, n, 0x7fff);
  if (codec == Codec::kF16) return judge(most < kInfinity16, from_half(most), value_bound);
  return judge(most < kInfinityB16, from_bfloat(most), value_bound);
}

bool scales_are_sound(const std::byte* scales, std::size_t n) {
  return largest_scale(scales, n).has_value();
}

wire::Reason check_payload(ChunkFormat format, std::size_t coordinates, float value_bound,
                           std::span<const std::int8_t> scale_exponents, ConstBytes payload) {
  ChunkFormat raw = format;
  raw.zstd = false;
  MUSTER_CHECK(is_payload_length(raw, coordinates, payload.size()));
  const std::byte* const data = payload.data();
  const std::size_t scales = scale_count(format, coordinates);
  const std::size_t block = std::size_t{1} << format.log2_block;
  const auto own_scale = [&](std::size_t b) { return load<float>(payload, 4 * b); };
  const auto shared_scale = [&](std::size_t b) { return std::ldexp(1.0f, scale_exponents[b]); };
  std::optional<float> largest = 0.0f;
  if (has_shared_scales(format.codec)) {
    MUSTER_CHECK_OP(scale_exponents.size(), ==, divide_up(coordinates, block));
    if (coordinates > 0)
      largest = std::ldexp(1.0f, *std::max_element(scale_exponents.begin(), scale_exponents.end()));
  } else if (scales > 0) {
    largest = largest_scale(data, scales);
    if (!largest) return Reason::kScaleInvalid;
  }
  const ConstBytes codes = payload.subspan(4 * scales);
  switch (format.codec) {
    case Codec::kF32:
    case Codec::kF16:
    case Codec::kBF16:
      return check_floats(format.codec, coordinates, value_bound, data);
    case Codec::kI8B:
      return check_codes(codes, block, *largest, value_bound, own_scale);
    case Codec::kI8S:
      return check_codes(codes, block, *largest, value_bound, shared_scale);
    case Codec::kI4B:
      return check_nibbles(codes, coordinates, block, *largest, value_bound, own_scale);
    case Codec::kI4S:
      return check_nibbles(codes, coordinates, block, *largest, value_bound, shared_scale);
    case Codec::kSign1:
      if (!spare_bits_are_zero(codes, coordinates)) return Reason::kReservedCode;
      return *largest > value_bound ? Reason::kCoordinateOutOfBound : Reason::kOk;
    case Codec::kTopK:
      return check_topk(format, coordinates, value_bound, payload);
    case Codec::kRandK:
      return check_floats(format.bits == 16 ? Codec::kF16 : Codec::kF32,
                          kept_count(format, coordinates), value_bound, data);
    case Codec::kEden:
    case Codec::kHsq:
      return check_rotated(format, coordinates, value_bound, payload);
  }
  return Reason::kWrongCodec;
}

}  // namespace muster::ingest
