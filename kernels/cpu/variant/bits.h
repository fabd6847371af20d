// Bits by the vector: the widest register of the level as a set of bits, for bit-sliced arithmetic.
//
// A number per bit position is kept as one vector a binary digit ("sliced"); adding or comparing
// such numbers is a handful of logic operations for all positions at once.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "kernels/cell/cell.h"

namespace muster::kernels::MUSTER_CPU_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr size_t kVectorBytes = 32;
#else
constexpr size_t kVectorBytes = 16;
#endif

/// May alias: scratch memory is written as integers and read as bits.
using Bits [[gnu::vector_size(kVectorBytes), gnu::may_alias]] = uint32_t;

MUSTER_CELL Bits all_bits(bool set) { return Bits{} - (set ? 1u : 0u); }

#if defined(__AVX512F__)
/// The function of three operands whose truth table is kTable, in the register of `a`.
template <int kTable>
MUSTER_CELL Bits logic(Bits a, Bits b, Bits c) {
  return reinterpret_cast<Bits>(_mm512_ternarylogic_epi32(reinterpret_cast<__m512i>(a),
                                                          reinterpret_cast<__m512i>(b),
                                                          reinterpret_cast<__m512i>(c), kTable));
}
#endif

/// a + b + c of one-digit numbers: the digit, and the carry.
MUSTER_CELL Bits parity(Bits a, Bits b, Bits c) { return a ^ b ^ c; }
MUSTER_CELL Bits majority(Bits a, Bits b, Bits c) {
#if defined(__AVX512F__)
  return logic<0xe8>(a, b, c);
#else
  return (a & b) | (c & (a ^ b));
#endif
}

/// set & ~(a ^ b): what of the set has equal a and b.
MUSTER_CELL Bits where_equal(Bits set, Bits a, Bits b) {
#if defined(__AVX512F__)
  return logic<0x90>(set, a, b);
#else
  return set & ~(a ^ b);
#endif
}

MUSTER_CELL Bits choose(Bits condition, Bits yes, Bits no) {
#if defined(__AVX512F__)
  return logic<0xca>(condition, yes, no);
#else
  return no ^ (condition & (yes ^ no));
#endif
}

/// a & ~b
MUSTER_CELL Bits without(Bits a, Bits b) {
#if defined(__AVX512F__)
  return logic<0x30>(a, b, b);
#else
  return a & ~b;
#endif
}

/// a | (b & ~c)
MUSTER_CELL Bits or_without(Bits a, Bits b, Bits c) {
#if defined(__AVX512F__)
  return logic<0xf4>(a, b, c);
#else
  return a | (b & ~c);
#endif
}

/// Words of 64 bits in a vector.
constexpr size_t kWordsOfVector = kVectorBytes / sizeof(uint64_t);

/// words[0 ..] = first + i for every word i of the set that is not zero, in order; returns how
/// many. All kWordsOfVector of them may be written.
MUSTER_CELL size_t list_words(Bits set, uint32_t first, uint32_t* words) {
#if defined(__AVX512F__)
  const __m512i bits = reinterpret_cast<__m512i>(set);
  const __mmask8 some = _mm512_test_epi64_mask(bits, bits);
  const __m256i all = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first)),
                                       _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm256_maskz_compress_epi32(some, all));
  return static_cast<size_t>(__builtin_popcount(some));
#else
  uint64_t each[kWordsOfVector];
  __builtin_memcpy(each, &set, sizeof each);
  size_t listed = 0;
  for (size_t i = 0; i < kWordsOfVector; ++i) {
    words[listed] = first + static_cast<uint32_t>(i);
    listed += each[i] != 0 ? 1 : 0;
  }
  return listed;
#endif
}

/// Bit positions i with i & distance == 0, for distances 1, 2, 4, 8, 16.
MUSTER_CELL constexpr uint32_t lower_halves(int distance) {
  return distance == 1   ? 0x55555555u
         : distance == 2 ? 0x33333333u
         : distance == 4 ? 0x0f0f0f0fu
         : distance == 8 ? 0x00ff00ffu
                         : 0x0000ffffu;
}

/// Every bit i exchanged with bit i ^ distance.
MUSTER_CELL Bits swap_halves(Bits x, int distance) {
  const Bits lower = Bits{} + lower_halves(distance);
  return choose(lower, x >> distance, x << distance);
}

/// Bits i + distance of a exchanged with bits i of b, for all i in the lower halves.
template <int distance>
MUSTER_CELL void exchange(Bits& a, Bits& b) {
  const Bits lower = Bits{} + lower_halves(distance);
#if defined(__AVX512F__)
  const Bits into_a = b << distance, into_b = a >> distance;
  // choose(lower, a, into_a) and choose(lower, into_b, b), each in the register that is free then.
  a = logic<0xb8>(into_a, lower, a);
  b = logic<0xe2>(into_b, lower, b);
#else
  const Bits differ = ((a >> distance) ^ b) & lower;
  b ^= differ;
  a ^= differ << distance;
#endif
}

/// Eight vectors, `pitch` apart: bit i of vector j, in every group of eight bits, becomes bit j of
/// vector i, stored `target_pitch` apart.
MUSTER_CELL void transpose_eight(const Bits* v, Bits* target, size_t target_pitch) {
  Bits a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
  exchange<4>(a, e), exchange<4>(b, f), exchange<4>(c, g), exchange<4>(d, h);
  exchange<2>(a, c), exchange<2>(b, d), exchange<2>(e, g), exchange<2>(f, h);
  exchange<1>(a, b), exchange<1>(c, d), exchange<1>(e, f), exchange<1>(g, h);
  const size_t p = target_pitch;
  target[0] = a, target[p] = b, target[2 * p] = c, target[3 * p] = d;
  target[4 * p] = e, target[5 * p] = f, target[6 * p] = g, target[7 * p] = h;
}

/// The lower, or the upper, halves of 32-bit lanes of two vectors: a's below b's.
MUSTER_CELL Bits join_lower(Bits a, Bits b) {
  return choose(Bits{} + lower_halves(16), a, b << 16);
}
MUSTER_CELL Bits join_upper(Bits a, Bits b) {
  return choose(Bits{} + lower_halves(16), a >> 16, b);
}

/// The greater of each pair of 16-bit lanes.
MUSTER_CELL Bits greater_halves(Bits a, Bits b) {
  using Halves [[gnu::vector_size(kVectorBytes)]] = uint16_t;
  const Halves x = reinterpret_cast<Halves>(a), y = reinterpret_cast<Halves>(b);
  return reinterpret_cast<Bits>(x > y ? x : y);
}

/// kBits vectors of kBits-bit lanes: bit i of lane l of vector j becomes bit j of lane l of vector
/// i, stored `pitch` apart. Its own inverse.
template <int kBits>
MUSTER_CELL void transpose(const Bits* v, Bits* target, size_t pitch) {
  static_assert(kBits == 8 || kBits == 16 || kBits == 32);
  if constexpr (kBits == 32) {
    Bits lower[16], upper[16];
    for (int i = 0; i < 16; ++i) lower[i] = join_lower(v[i], v[i + 16]);
    for (int i = 0; i < 16; ++i) upper[i] = join_upper(v[i], v[i + 16]);
    transpose<16>(lower, target, pitch);
    transpose<16>(upper, target + 16 * pitch, pitch);
  } else if constexpr (kBits == 16) {
    Bits coarse[16];
    for (int i = 0; i < 8; ++i) {
      coarse[i] = v[i], coarse[i + 8] = v[i + 8];
      exchange<8>(coarse[i], coarse[i + 8]);
    }
    transpose<8>(coarse, target, pitch);
    transpose<8>(coarse + 8, target + 8 * pitch, pitch);
  } else {
    transpose_eight(v, target, pitch);
  }
}

}  // namespace
}  // namespace muster::kernels::MUSTER_CPU_LEVEL
