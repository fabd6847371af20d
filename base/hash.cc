#include "base/hash.h"

#define XXH_STATIC_LINKING_ONLY  // the streaming state on our stack
#ifdef __x86_64__
#include <xxh_x86dispatch.h>  // the widest vectors the processor has; the same hash
#else
#include <xxhash.h>
#endif

#include <algorithm>

#include "base/check.h"

namespace muster {
namespace {

// Half of a 32 KiB L1: what memcpy brought in is still there when the hash reads it.
constexpr std::size_t kPassBytes = 16 * 1024;

Hash128 from_xxh(XXH128_hash_t hash) { return {hash.low64, hash.high64}; }

}  // namespace

Hash128 checksum(ConstBytes bytes, std::uint64_t seed) {
  return from_xxh(XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed));
}

Hash128 copy_with_checksum(MutableBytes target, ConstBytes source) {
  MUSTER_CHECK_OP(target.size(), ==, source.size());
  if (source.size() <= kPassBytes) {
    if (!source.empty()) std::memcpy(target.data(), source.data(), source.size());
    return checksum(target);
  }
  alignas(64) XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (std::size_t at = 0; at < source.size(); at += kPassBytes) {
    const std::size_t length = std::min(kPassBytes, source.size() - at);
    std::memcpy(target.data() + at, source.data() + at, length);
    XXH3_128bits_update(&state, target.data() + at, length);
  }
  return from_xxh(XXH3_128bits_digest(&state));
}

}  // namespace muster
