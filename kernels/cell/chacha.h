// ChaCha20 (RFC 8439, section 2.3): one block of 64 bytes from a key, a counter and a nonce.
#pragma once

#include "kernels/cell/cell.h"

namespace muster::kernels::cell {

/// What a block is made from. Words are the little-endian words of the RFC.
struct ChaChaInput {
  const uint32_t* key;  ///< 8
  uint32_t counter;
  uint32_t nonce[3];
};

template <int kBy>
MUSTER_CELL uint32_t rotate_left(uint32_t x) {
  return x << kBy | x >> (32 - kBy);
}

template <int a, int b, int c, int d>
MUSTER_CELL void chacha_quarter(uint32_t (&x)[16]) {
  x[a] += x[b], x[d] = rotate_left<16>(x[d] ^ x[a]);
  x[c] += x[d], x[b] = rotate_left<12>(x[b] ^ x[c]);
  x[a] += x[b], x[d] = rotate_left<8>(x[d] ^ x[a]);
  x[c] += x[d], x[b] = rotate_left<7>(x[b] ^ x[c]);
}

/// Rounds by recursion, not by a loop: only straight code becomes vectors over blocks.
template <int kDoubleRounds>
MUSTER_CELL void chacha_rounds(uint32_t (&x)[16]) {
  if constexpr (kDoubleRounds > 0) {
    chacha_quarter<0, 4, 8, 12>(x);
    chacha_quarter<1, 5, 9, 13>(x);
    chacha_quarter<2, 6, 10, 14>(x);
    chacha_quarter<3, 7, 11, 15>(x);
    chacha_quarter<0, 5, 10, 15>(x);
    chacha_quarter<1, 6, 11, 12>(x);
    chacha_quarter<2, 7, 8, 13>(x);
    chacha_quarter<3, 4, 9, 14>(x);
    chacha_rounds<kDoubleRounds - 1>(x);
  }
}

MUSTER_CELL void chacha20_block(const ChaChaInput& input, uint32_t (&words)[16]) {
  const uint32_t* key = input.key;
  const uint32_t start[16] = {0x61707865,    0x3320646e,     0x79622d32,     0x6b206574,
                              key[0],        key[1],         key[2],         key[3],
                              key[4],        key[5],         key[6],         key[7],
                              input.counter, input.nonce[0], input.nonce[1], input.nonce[2]};
  for (int i = 0; i < 16; ++i) words[i] = start[i];
  chacha_rounds<10>(words);
  for (int i = 0; i < 16; ++i) words[i] += start[i];
}

}  // namespace muster::kernels::cell
