// The parts of check_payload(); payload_check*.cc only.
#pragma once

#include <cstddef>
#include <functional>

#include "base/bytes.h"
#include "base/codec.h"
#include "wire/reason.h"

namespace muster::ingest {

/// n values of a float codec.
wire::Reason check_floats(Codec codec, std::size_t n, float value_bound, const std::byte* data);
/// n f32 scales: finite, without a sign.
bool scales_are_sound(const std::byte* scales, std::size_t n);
/// Whether the bits of the last byte behind `bits` packed ones are 0.
bool spare_bits_are_zero(ConstBytes packed, std::size_t bits);

/// I4B, I4S: `codes` of d coordinates with scales scale_of(0), scale_of(1), ..., the largest of
/// which is `largest`.
wire::Reason check_nibbles(ConstBytes codes, std::size_t d, std::size_t block, float largest,
                           float value_bound, const std::function<float(std::size_t)>& scale_of);
/// Its length is one that TOPK can have.
wire::Reason check_topk(ChunkFormat format, std::size_t d, float value_bound, ConstBytes payload);
/// EDEN: scales; its values are known only when they are decoded, and judged then. HSQ: every level
/// of every rotation must lie within the bound, used or not.
wire::Reason check_rotated(ChunkFormat format, std::size_t d, float value_bound,
                           ConstBytes payload);

}  // namespace muster::ingest
