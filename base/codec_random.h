// What devices and server draw alike from a seed: signs of rotations and masks of coordinates. A
// generator that counts, so that any part can be drawn alone; part of the wire format, and no
// secret: a statistical generator is enough.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace muster {

/// Word `counter` of the stream of `key`: splitmix64's finaliser (Steele, Lea and Flood 2014) of
/// key + (counter + 1) * 0x9e3779b97f4a7c15 modulo 2^64.
constexpr std::uint64_t counter_word(std::uint64_t key, std::uint64_t counter) {
  std::uint64_t z = key + 0x9e3779b97f4a7c15 * (counter + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/// The key of chunk `chunk` under the seed of a round (RANDK, HSQ).
constexpr std::uint64_t chunk_key(std::uint64_t round_seed, std::uint64_t chunk) {
  return counter_word(round_seed, chunk);
}
/// The key of rotation `index` of a chunk with key (HSQ) or seed (EDEN) `chunk`.
constexpr std::uint64_t rotation_key(std::uint64_t chunk, std::uint64_t index) {
  return counter_word(chunk, index);
}

/// Coordinate k of a rotation changes its sign where bit k mod 64 of words[k / 64] is set.
void draw_signs(std::uint64_t key, std::span<std::uint64_t> words);

/// indices = indices.size() of d coordinates, ascending, every set equally likely (to 2^-32):
/// selection sampling (Knuth, TAOCP 2, 3.4.2 S). Coordinate i is taken where
/// floor((counter_word(key, i) >> 32) * (d - i) / 2^32) < (indices still to be found).
/// indices.size() <= d < 2^32.
void draw_mask(std::uint64_t key, std::size_t d, std::span<std::uint32_t> indices);

}  // namespace muster
