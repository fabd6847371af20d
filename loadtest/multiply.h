// Matrix products for the phones' training: plain tiles, the fastest level the CPU has. Bits may
// differ between levels; nothing here is part of the server's arithmetic contract.
#pragma once

#include <cstddef>

namespace muster::loadtest {

/// A[i, k] = data[i * row + k * column].
struct Strided {
  const float* data;
  std::size_t row;
  std::size_t column;
};

/// C[m, n] = (accumulate ? C : 0) + A[m, k] * B[k, n]; B and C row-major with rows of n values.
void multiply(std::size_t m, std::size_t n, std::size_t k, Strided a, const float* b, float* c,
              bool accumulate = false);

}  // namespace muster::loadtest
