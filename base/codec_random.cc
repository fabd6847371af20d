#include "base/codec_random.h"

#include "base/check.h"

namespace muster {

void draw_signs(std::uint64_t key, std::span<std::uint64_t> words) {
  for (std::size_t w = 0; w < words.size(); ++w) words[w] = counter_word(key, w);
}

void draw_mask(std::uint64_t key, std::size_t d, std::span<std::uint32_t> indices) {
  MUSTER_CHECK_OP(indices.size(), <=, d);
  std::size_t found = 0;
  for (std::size_t i = 0; found < indices.size(); ++i) {
    const std::uint64_t drawn = ((counter_word(key, i) >> 32) * (d - i)) >> 32;
    if (drawn < indices.size() - found) indices[found++] = static_cast<std::uint32_t>(i);
  }
}

}  // namespace muster
