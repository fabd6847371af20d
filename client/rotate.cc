#include "client/rotate.h"

#include <cstddef>
#include <vector>

#include "base/codec_random.h"

namespace muster::client {

void hadamard(std::span<double> values) {
  for (std::size_t step = 1; step < values.size(); step *= 2)
    for (std::size_t begin = 0; begin < values.size(); begin += 2 * step)
      for (std::size_t k = begin; k < begin + step; ++k) {
        const double a = values[k], b = values[k + step];
        values[k] = a + b;
        values[k + step] = a - b;
      }
}

void flip_signs(std::uint64_t key, std::span<double> values) {
  std::vector<std::uint64_t> signs((values.size() + 63) / 64);
  draw_signs(key, signs);
  for (std::size_t k = 0; k < values.size(); ++k)
    if ((signs[k / 64] >> (k % 64) & 1) != 0) values[k] = -values[k];
}

}  // namespace muster::client
