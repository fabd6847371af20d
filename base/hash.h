// XXH3-128: the checksum of spool records and payloads. Finds damage, not attackers.
#pragma once

#include <compare>
#include <cstdint>

#include "base/bytes.h"

namespace muster {

/// 128 bits as two little-endian words. Also the type of update ids and device hashes.
struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  auto operator<=>(const Hash128&) const = default;
};

/// XXH3-128 of `bytes` with `seed`.
Hash128 checksum(ConstBytes bytes, std::uint64_t seed = 0);

/// Copies `source` to `target` (same size, no overlap) and returns the checksum (seed 0) of what it
/// copied, in one pass through the cache.
Hash128 copy_with_checksum(MutableBytes target, ConstBytes source);

}  // namespace muster
