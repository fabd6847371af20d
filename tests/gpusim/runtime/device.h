// The chips that can be emulated: the numbers programs ask for, from NVIDIA's CUDA programming
// guide (compute capabilities) and data sheets.
#pragma once

#include <cstddef>

namespace gpusim {

struct Chip {
  int architecture;  // compute capability x 10
  int multiprocessors;
  std::size_t shared_optin;   // bytes of shared memory a block may ask for
  std::size_t shared_per_sm;  // bytes
  int threads_per_sm, blocks_per_sm;
  int l2_bytes;
};

// The newest chip not newer than `architecture`; the oldest if all are.
const Chip& chip(int architecture);

}  // namespace gpusim
