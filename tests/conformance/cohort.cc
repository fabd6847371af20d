#include "tests/conformance/cohort.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace muster::kernels::conformance {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

double uniform(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

bool one_in(Random& random, unsigned chances) { return random() % chances == 0; }

/// binary16 nearest to zero of the two around x.
std::uint16_t encode_f16(float x) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return 0x7e01;
  if (std::isinf(x) || std::fabs(x) >= 65536.0f) return sign | 0x7c00;
  int exponent;
  std::frexp(x, &exponent);
  exponent = std::max(exponent - 1, -14);
  const auto mantissa = static_cast<int>(std::ldexp(std::fabs(x), 10 - exponent));
  return static_cast<std::uint16_t>(sign | (((exponent + 14) << 10) + mantissa));
}

float decode_f16(std::uint16_t half) {
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  const float sign = (half & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa != 0 ? kNaN : sign * kInfinity;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}

/// Smallest subnormal of the codec's floats.
float tiny(Codec codec) {
  if (codec == Codec::kF16) return 0x1p-24f;
  if (codec == Codec::kBF16) return 0x1p-133f;
  return 0x1p-149f;
}

/// What column k of a striped cohort holds: 64 columns alike, of 1024 the last 320 of another kind.
Values stripe_of(std::size_t k, Random& random) {
  constexpr Values kOdd[] = {Values::kZeros, Values::kClustered, Values::kEqual,
                             Values::kSubnormal};
  const std::size_t stripe = k / 64 % 16;
  if (stripe < 11) return Values::kNormal;
  if (stripe < 15) return kOdd[stripe - 11];
  return one_in(random, 10) ? Values::kZeros : Values::kSubnormal;  // few zeros between others
}

float draw(const Shape& shape, std::size_t k, float common, Random& random) {
  const Values values = shape.values == Values::kStriped ? stripe_of(k, random) : shape.values;
  switch (values) {
    case Values::kNormal:
      return static_cast<float>(std::normal_distribution<double>(0, 0.02)(random));
    case Values::kSubnormal:
      return tiny(shape.codec) * static_cast<float>(uniform(random, -127, 127));
    case Values::kZeros:
      return one_in(random, 2) ? 0.0f : -0.0f;
    case Values::kLarge:
      return static_cast<float>(uniform(random, 0.5 * kBound, 0.99 * kBound)) *
             (one_in(random, 2) ? 1.0f : -1.0f);
    case Values::kEqual:
      return common;
    case Values::kTies:
      return static_cast<float>(static_cast<int>(random() % 5) - 2) * 0x1p-9f;
    case Values::kHuge:
      if (random() % 5 < 2) return one_in(random, 2) ? kBound : -kBound;
      return static_cast<float>(std::normal_distribution<double>(0, 0.02)(random));
    case Values::kClustered:
      if (random() % 5 < 2) return 0.0168f * (1 + 0x1p-23f * static_cast<float>(random() % 4));
      return static_cast<float>(std::normal_distribution<double>(0, 0.02)(random));
    case Values::kBimodal:
      return (one_in(random, 2) ? 0.5f : -0.5f) + static_cast<float>(uniform(random, 0, 1e-6));
    case Values::kStriped:
      break;
    case Values::kPoisoned:
      if (one_in(random, 7))
        return one_in(random, 2) ? kNaN : one_in(random, 2) ? kInfinity : -kInfinity;
      return static_cast<float>(uniform(random, -0.1, 0.1));
    case Values::kWild: {
      const auto bits = static_cast<std::uint32_t>(random());
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
  }
  return 0;
}

float draw_scale(const Shape& shape, float greatest, Random& random) {
  if (shape.values == Values::kPoisoned && one_in(random, 3))
    return one_in(random, 2) ? kNaN : kInfinity;
  if (shape.values == Values::kWild)
    return std::ldexp(static_cast<float>(uniform(random, -1, 1)),
                      static_cast<int>(random() % 270) - 140);
  if (!(greatest > 0)) return 0;
  // A subnormal quotient may round so far down that codes leave +-127.
  return std::nextafter(greatest / 127, kInfinity);
}

std::int8_t draw_exponent(const Shape& shape, Random& random) {
  const auto pick = [&](int low, int high) {
    return static_cast<std::int8_t>(
        low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1)));
  };
  switch (shape.values) {
    case Values::kSubnormal:
      return pick(-128, -120);
    case Values::kLarge:
      return -3;
    case Values::kTies:
      return pick(-shape.grid_bits - 10, -shape.grid_bits + 3);
    case Values::kWild:
      return pick(-128, 127);
    default:
      return pick(-12, -10);
  }
}

std::int8_t quantise(float x, float scale, Random& random) {
  if (!std::isfinite(x) || !std::isfinite(scale) || scale == 0 || std::fabs(scale) > 1e30f)
    return static_cast<std::int8_t>(random() % 255 - 127);
  const double q = std::nearbyint(static_cast<double>(x) / static_cast<double>(scale));
  return static_cast<std::int8_t>(std::clamp(q, -127.0, 127.0));
}

template <class T>
void put(std::vector<std::byte>& row, std::size_t offset, T value) {
  std::memcpy(row.data() + offset, &value, sizeof value);
}

template <class T>
T get(const std::vector<std::byte>& row, std::size_t offset) {
  T value;
  std::memcpy(&value, row.data() + offset, sizeof value);
  return value;
}

/// Sets `count` bits from bit `at` on of a payload of zeros.
void put_bits(std::vector<std::byte>& row, std::size_t at, unsigned count, unsigned bits) {
  for (unsigned b = 0; b < count; ++b)
    row[(at + b) / 8] |= static_cast<std::byte>((bits >> b & 1) << ((at + b) % 8));
}

/// Largest code of an integer codec.
int largest_code(Codec codec) {
  if (codec == Codec::kSign1) return 1;
  return codec == Codec::kI4B || codec == Codec::kI4S ? 7 : 127;
}

/// Writes integer code q of coordinate k, in the place its codec has for it.
void put_code(const HostCohort& cohort, std::vector<std::byte>& row, std::size_t k, int q) {
  const std::size_t codes = 4 * scale_count(cohort.format, cohort.d);
  switch (cohort.format.codec) {
    case Codec::kI4B:
    case Codec::kI4S:
      return put_bits(row, 8 * codes + 4 * k, 4, static_cast<unsigned>(q) & 15);
    case Codec::kSign1:
      return put_bits(row, 8 * codes + k, 1, q > 0 ? 1 : 0);
    default:
      return put(row, codes + k, static_cast<std::int8_t>(q));
  }
}

std::vector<std::byte> encode_row(const Shape& shape, const HostCohort& cohort, float common,
                                  Random& random) {
  std::vector<float> values(shape.d);
  for (std::size_t k = 0; k < shape.d; ++k) values[k] = draw(shape, k, common, random);
  std::vector<std::byte> row(payload_bytes(cohort.format, shape.d));
  const int most = largest_code(shape.codec);
  switch (shape.codec) {
    case Codec::kF32:
      std::ranges::copy(std::as_bytes(std::span(values)), row.begin());
      break;
    case Codec::kF16:
      for (std::size_t k = 0; k < shape.d; ++k) put(row, 2 * k, encode_f16(values[k]));
      break;
    case Codec::kBF16:
      for (std::size_t k = 0; k < shape.d; ++k)
        std::memcpy(&row[2 * k], reinterpret_cast<std::byte*>(&values[k]) + 2, 2);
      break;
    case Codec::kI8B:
    case Codec::kI4B:
    case Codec::kSign1: {
      const std::size_t block = std::size_t{1} << cohort.format.log2_block;
      for (std::size_t begin = 0; begin < shape.d; begin += block) {
        const std::size_t end = std::min(begin + block, shape.d);
        float greatest = 0;
        for (std::size_t k = begin; k < end; ++k)
          if (std::isfinite(values[k])) greatest = std::max(greatest, std::fabs(values[k]));
        const float scale = draw_scale(shape, greatest, random);
        put(row, begin / block * 4, scale);
        for (std::size_t k = begin; k < end; ++k)
          put_code(cohort, row, k, quantise(values[k], scale, random) % (most + 1));
      }
      break;
    }
    case Codec::kI8S:
    case Codec::kI4S:
      for (std::size_t k = 0; k < shape.d; ++k) {
        const float scale = std::ldexp(1.0f, cohort.exponents[k >> cohort.format.log2_block]);
        const bool any = shape.values == Values::kTies || shape.values == Values::kWild;
        const int q =
            any ? static_cast<int>(random() % 255) - 127 : quantise(values[k], scale, random);
        put_code(cohort, row, k, q % (most + 1));
      }
      break;
    case Codec::kHsq: {
      const std::size_t block = std::size_t{1} << cohort.format.log2_block;
      const unsigned levels = 1u << cohort.format.bits;
      for (std::size_t begin = 0; begin < shape.d; begin += block) {
        // From the first value of the block up to the second, and what lies between.
        const float low = values[begin];
        const float high = values[std::min(begin + 1, shape.d - 1)];
        float step = std::fabs(high - low) / static_cast<float>(levels);
        if (shape.values == Values::kLarge) step /= 4;
        put(row, begin / block * 8, shape.values == Values::kLarge ? low / 2 : low);
        put(row, begin / block * 8 + 4, step);
      }
      const std::size_t head = 64 * rotation_count(cohort.format, shape.d);
      for (std::size_t k = 0; k < shape.d; ++k)
        put_bits(row, head + k * cohort.format.bits, cohort.format.bits,
                 static_cast<unsigned>(random() % levels));
      break;
    }
    case Codec::kTopK:
    case Codec::kRandK:
    case Codec::kEden:
      break;
  }
  return row;
}

}  // namespace

std::string Shape::to_string() const {
  return fmt::format("n {} d {} codec {} values {} grid {}", n, d, codec_name(codec),
                     static_cast<int>(values), grid_bits);
}

unsigned bits_at(const std::vector<std::byte>& payload, std::size_t at, unsigned count) {
  unsigned bits = 0;
  for (unsigned b = 0; b < count; ++b)
    bits |= (std::to_integer<unsigned>(payload[(at + b) / 8]) >> ((at + b) % 8) & 1) << b;
  return bits;
}

bool HostCohort::integer() const { return has_blocks(format.codec); }

float HostCohort::scale(std::size_t i, std::size_t k) const {
  const std::size_t block = k >> format.log2_block;
  if (has_shared_scales(format.codec)) return std::ldexp(1.0f, exponents[block]);
  return get<float>(rows[i], 4 * block);
}

std::int8_t HostCohort::code(std::size_t i, std::size_t k) const {
  const std::size_t codes = 4 * scale_count(format, d);
  if (format.codec == Codec::kSign1) return bits_at(rows[i], 8 * codes + k, 1) != 0 ? 1 : -1;
  if (largest_code(format.codec) == 127) return get<std::int8_t>(rows[i], codes + k);
  const auto bits = static_cast<int>(bits_at(rows[i], 8 * codes + 4 * k, 4));
  return static_cast<std::int8_t>(bits < 8 ? bits : bits - 16);
}

float HostCohort::value(std::size_t i, std::size_t k) const {
  return static_cast<float>(exact(i, k));
}

double HostCohort::exact(std::size_t i, std::size_t k) const {
  switch (format.codec) {
    case Codec::kF32:
      return static_cast<double>(get<float>(rows[i], 4 * k));
    case Codec::kF16:
      return static_cast<double>(decode_f16(get<std::uint16_t>(rows[i], 2 * k)));
    case Codec::kBF16: {
      const std::uint32_t bits = std::uint32_t{get<std::uint16_t>(rows[i], 2 * k)} << 16;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return static_cast<double>(value);
    }
    case Codec::kI8B:
    case Codec::kI8S:
    case Codec::kI4B:
    case Codec::kI4S:
    case Codec::kSign1:
      return static_cast<double>(scale(i, k)) * code(i, k);
    case Codec::kHsq: {
      const std::size_t head = 8 * (k >> format.log2_block);
      const unsigned q =
          bits_at(rows[i], 64 * rotation_count(format, d) + k * format.bits, format.bits);
      const double level = static_cast<double>(get<float>(rows[i], head)) +
                           static_cast<double>(get<float>(rows[i], head + 4)) * q;
      return static_cast<double>(static_cast<float>(level));
    }
    case Codec::kTopK:
    case Codec::kRandK:
    case Codec::kEden:
      break;
  }
  return 0;
}

HostCohort make_cohort(const Shape& shape, Random& random) {
  HostCohort cohort;
  cohort.format.codec = shape.codec;
  cohort.d = shape.d;
  if (has_blocks(shape.codec) || is_rotated(shape.codec)) {
    constexpr std::uint8_t kBlocks[] = {0, 3, 5, 6, 8, 12, 13};
    cohort.format.log2_block = kBlocks[random() % std::size(kBlocks)];
    if (shape.log2_block >= 0)
      cohort.format.log2_block = static_cast<std::uint8_t>(shape.log2_block);
  }
  if (is_rotated(shape.codec)) {
    cohort.format.log2_block = std::max(cohort.format.log2_block, kMinLog2Rotation);
    cohort.format.bits = static_cast<std::uint8_t>(1 + random() % 8);
  }
  if (has_shared_scales(shape.codec)) {
    const bool one = one_in(random, 2);
    cohort.exponents.resize((shape.d >> cohort.format.log2_block) + 1);
    for (std::int8_t& exponent : cohort.exponents)
      exponent = one && &exponent != cohort.exponents.data() ? cohort.exponents[0]
                                                             : draw_exponent(shape, random);
  }
  const auto common = static_cast<float>(uniform(random, -0.1, 0.1));
  for (std::size_t i = 0; i < shape.n; ++i)
    cohort.rows.push_back(encode_row(shape, cohort, common, random));
  return cohort;
}

DeviceCohort::DeviceCohort(Backend& backend, const HostCohort& host)
    : backend_(backend), host_(host) {
  // An odd number of words between rows: nothing may rely on more than 4-byte alignment.
  const std::size_t pitch = align_up(payload_bytes(host.format, host.d), 4) + 4;
  buffer_ = backend.allocate(pitch * host.n()).value();
  for (std::size_t i = 0; i < host.n(); ++i) {
    backend.upload(buffer_.data + i * pitch, host.rows[i], Stream::kCompute);
    rows_.push_back(buffer_.data + i * pitch);
  }
  backend.wait(backend.record(Stream::kCompute));
}

}  // namespace muster::kernels::conformance
