// check_payload() against the definition of each codec, one value at a time. Input: codec, log2 of
// the block, value bound (f32), then the payload, cut to what whole coordinates need.
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "ingest/intake.h"

namespace muster::ingest {
namespace {

using wire::Reason;

constexpr std::size_t kHeadBytes = 6;
constexpr std::uint8_t kBlockSizes = 19;  // up to 2^18 coordinates, the longest chunk

/// Most coordinates whose payload is at most `bytes` long.
std::size_t coordinates_in(ChunkFormat format, std::size_t bytes) {
  switch (format.codec) {
    case Codec::kF32:
      return bytes / 4;
    case Codec::kF16:
    case Codec::kBF16:
      return bytes / 2;
    case Codec::kI8S:
      return bytes;
    case Codec::kI8B:
      break;
  }
  std::size_t d = bytes;
  while (d > 0 && payload_bytes(format, d) > bytes) --d;
  return d;
}

double half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f;
  const double fraction = bits & 0x3ff;
  const double sign = bits >> 15 != 0 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? fraction * 0x1p-24 : std::ldexp(1024 + fraction, exponent - 25));
}

/// The reasons in the order in which one is reported when several hold.
struct Findings {
  bool scale = false;
  bool infinite = false;
  bool reserved = false;
  bool out_of_bound = false;

  Reason first() const {
    if (scale) return Reason::kScaleInvalid;
    if (infinite) return Reason::kValueNotFinite;
    if (reserved) return Reason::kReservedCode;
    return out_of_bound ? Reason::kCoordinateOutOfBound : Reason::kOk;
  }
  void value(double decoded, double bound) {
    infinite |= !std::isfinite(decoded);
    out_of_bound |= std::fabs(decoded) > bound;
  }
  void code(std::byte byte, float its_scale, float bound) {
    const auto code = static_cast<std::int8_t>(byte);
    reserved |= code == -128;
    out_of_bound |= std::fabs(its_scale * static_cast<float>(code)) > bound;
  }
};

Reason reference(ChunkFormat format, std::size_t d, float bound,
                 const std::vector<std::int8_t>& exponents, ConstBytes payload) {
  Findings found;
  const std::size_t scales = scale_count(format, d);
  for (std::size_t b = 0; b < scales; ++b) {
    const auto scale = load<float>(payload, 4 * b);
    found.scale |= !std::isfinite(scale) || std::signbit(scale);
  }
  for (std::size_t k = 0; k < d; ++k) {
    const std::size_t b = k >> format.log2_block;
    switch (format.codec) {
      case Codec::kF32:
        found.value(load<float>(payload, 4 * k), bound);
        break;
      case Codec::kF16:
        found.value(half(load<std::uint16_t>(payload, 2 * k)), bound);
        break;
      case Codec::kBF16: {
        const std::uint32_t bits = load<std::uint16_t>(payload, 2 * k);
        found.value(std::bit_cast<float>(bits << 16), bound);
        break;
      }
      case Codec::kI8B:
        found.code(payload[4 * scales + k], load<float>(payload, 4 * b), bound);
        break;
      case Codec::kI8S:
        found.code(payload[k], std::ldexp(1.0f, exponents[b]), bound);
        break;
    }
  }
  return found.first();
}

void check(ConstBytes input) {
  if (input.size() <= kHeadBytes) return;
  const ChunkFormat format{
      static_cast<Codec>(static_cast<std::uint8_t>(input[0]) % kCodecCount),
      static_cast<std::uint8_t>(static_cast<std::uint8_t>(input[1]) % kBlockSizes)};
  const float bound = std::fabs(load<float>(input, 2));
  if (!std::isfinite(bound)) return;
  const ConstBytes rest = input.subspan(kHeadBytes);
  const std::size_t d = coordinates_in(format, rest.size());
  if (d == 0) return;
  std::vector<std::int8_t> exponents;
  if (format.codec == Codec::kI8S)
    for (std::size_t b = 0; b <= (d - 1) >> format.log2_block; ++b)
      exponents.push_back(static_cast<std::int8_t>(rest[rest.size() - 1 - b]));
  const ConstBytes payload = rest.first(payload_bytes(format, d));
  const Reason verdict = check_payload(format, d, bound, exponents, payload);
  MUSTER_CHECK(verdict == reference(format, d, bound, exponents, payload));
}

}  // namespace
}  // namespace muster::ingest

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  muster::ingest::check({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
