// Encoded cohorts to judge backends with: every codec, and the classes of values that break
// kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace muster::kernels::conformance {

enum class Values {
  kNormal,
  kSubnormal,  ///< of the codec
  kZeros,      ///< both signs
  kLarge,      ///< up to kBound
  kEqual,      ///< all the same
  kTies,       ///< a handful of values; I8S exponents around the grid step
  kHuge,       ///< two in five at kBound, either sign
  kClustered,  ///< two in five within a few ulps of where a fifth is cut off
  kBimodal,    ///< two narrow heaps, far apart
  kStriped,    ///< many columns of kNormal, then some where ranks meet ties of several kinds
  kPoisoned,   ///< within bound, with NaN and infinities
  kWild,       ///< anything the codec can say
};
inline constexpr Values kFiniteValues[] = {Values::kNormal, Values::kSubnormal, Values::kZeros,
                                           Values::kLarge,  Values::kEqual,     Values::kTies};
inline constexpr float kBound = 16;

/// The codecs whose coordinates decode one by one: what all operations but expand() take.
inline constexpr Codec kStripCodecs[] = {Codec::kF32, Codec::kF16,   Codec::kBF16,
                                         Codec::kI8B, Codec::kI8S,   Codec::kI4B,
                                         Codec::kI4S, Codec::kSign1, Codec::kHsq};

using Random = std::mt19937_64;

/// What to generate.
struct Shape {
  std::size_t n = 0, d = 0;
  Codec codec = Codec::kF32;
  Values values = Values::kNormal;
  int grid_bits = 40;
  int log2_block = -1;  ///< -1: any
  std::string to_string() const;
};

/// n payloads of one chunk, on the host.
struct HostCohort {
  ChunkFormat format;
  std::size_t d = 0;
  std::vector<std::vector<std::byte>> rows;
  std::vector<std::int8_t> exponents;  ///< I8S, I4S

  std::size_t n() const { return rows.size(); }
  /// Codecs that are a scale times a small integer: I8B, I8S, I4B, I4S, SIGN1.
  bool integer() const;
  /// Scale of coordinate k in row i, and its integer.
  float scale(std::size_t i, std::size_t k) const;
  std::int8_t code(std::size_t i, std::size_t k) const;
  /// As the coordinate operations see it.
  float value(std::size_t i, std::size_t k) const;
  /// The real number the code stands for.
  double exact(std::size_t i, std::size_t k) const;
};

HostCohort make_cohort(const Shape& shape, Random& random);

/// `count` bits of a payload from bit `at` on, least significant first.
unsigned bits_at(const std::vector<std::byte>& payload, std::size_t at, unsigned count);

/// A cohort in the memory of a backend; gives it back at the end.
class DeviceCohort {
 public:
  DeviceCohort(Backend& backend, const HostCohort& host);
  ~DeviceCohort() { backend_.release(buffer_); }
  DeviceCohort(const DeviceCohort&) = delete;
  DeviceCohort& operator=(const DeviceCohort&) = delete;

  Codes codes() const { return {host_.format, host_.d, rows_, host_.exponents}; }

 private:
  Backend& backend_;
  const HostCohort& host_;
  Buffer buffer_;
  std::vector<const std::byte*> rows_;
};

}  // namespace muster::kernels::conformance
