// check_payload(): one pass of integer minima and maxima over bytes that the checksum has just
// brought into the cache. Every value test is monotone, so the extremes decide for all.
#include <algorithm>
#include <bit>
#include <cmath>

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

wire::Reason check_payload(ChunkFormat format, std::size_t coordinates, float value_bound,
                           std::span<const std::int8_t> scale_exponents, ConstBytes payload) {
  MUSTER_CHECK_OP(payload.size(), ==, payload_bytes(format, coordinates));
  const std::byte* const data = payload.data();
  switch (format.codec) {
    case Codec::kF32: {
      const std::uint32_t most = loops().largest32(data, coordinates, 0x7fffffff);
      return judge(most < kInfinity32, std::bit_cast<float>(most), value_bound);
    }
    case Codec::kF16: {
      const std::uint16_t most = loops().largest16(data, coordinates, 0x7fff);
      return judge(most < kInfinity16, from_half(most), value_bound);
    }
    case Codec::kBF16: {
      const std::uint16_t most = loops().largest16(data, coordinates, 0x7fff);
      return judge(most < kInfinityB16, from_bfloat(most), value_bound);
    }
    case Codec::kI8B: {
      const std::size_t scales = scale_count(format, coordinates);
      // As unsigned numbers, infinity, every NaN and everything with a sign lie above the finite.
      const std::uint32_t most = loops().largest32(data, scales, 0xffffffff);
      if (most >= kInfinity32) return Reason::kScaleInvalid;
      return check_codes(payload.subspan(4 * scales), std::size_t{1} << format.log2_block,
                         std::bit_cast<float>(most), value_bound,
                         [&](std::size_t b) { return load<float>(payload, 4 * b); });
    }
    case Codec::kI8S: {
      const std::size_t blocks = divide_up(coordinates, std::size_t{1} << format.log2_block);
      MUSTER_CHECK_OP(scale_exponents.size(), ==, blocks);
      const int most =
          blocks == 0 ? -128 : *std::max_element(scale_exponents.begin(), scale_exponents.end());
      return check_codes(payload, std::size_t{1} << format.log2_block, std::ldexp(1.0f, most),
                         value_bound,
                         [&](std::size_t b) { return std::ldexp(1.0f, scale_exponents[b]); });
    }
  }
  return Reason::kWrongCodec;
}

}  // namespace muster::ingest
