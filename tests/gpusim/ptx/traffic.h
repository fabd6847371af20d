// Counts the sectors and bank cycles of one request of a warp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/gpusim/ptx/machine.h"

namespace gpusim {

// `addresses` of the active lanes in any order, each the first of `bytes` bytes, aligned to them.
void count_global(std::span<const std::uint64_t> addresses, std::size_t bytes, Counts* counts);
// As global, but in lane order: 8-byte requests go in half warps, 16-byte ones in quarters. `lanes`
// are the lane numbers of the addresses.
void count_shared(std::span<const std::uint64_t> addresses, std::span<const int> lanes,
                  std::size_t bytes, Counts* counts);

}  // namespace gpusim
