// The master secret of a node and the noise keys of its rounds.
//
// A round's noise key is a function of master secret, round secret and what was sealed: closing the
// same round again draws the same noise, another set never the same. The master secret outlives
// rounds; the round secret does not, so that past noise is out of reach once it is wiped, even for
// whoever gets hold of the master secret.
#pragma once

#include <cstdint>
#include <string>

#include "base/storage.h"
#include "privacy/secret.h"

namespace muster::privacy {

/// 64 hexadecimal digits in a file, white space around them allowed. "master_secret_invalid".
Result<Secret> read_master_secret(Storage& storage, const std::string& path);
/// Writes a fresh one, durably, where there is no file yet ("master_secret_exists").
Status create_master_secret(Storage& storage, const std::string& path);

struct NoiseContext {
  std::uint32_t task = 0;
  std::uint64_t round = 0;
  std::span<const std::byte, 32> round_secret;   ///< drawn when the round opened
  std::span<const std::byte, 32> sealed_digest;  ///< of the sealed set
};
/// Ready for kernels::NoiseJob::key by words().
Result<Secret> noise_key(const Secret& master, const NoiseContext& context);

/// Of the memory that correlated noise leaves (BLT): does not give the noise key away.
Result<Secret> memory_key(const Secret& noise_key);

/// Vectors of noise under one round's key (kernels::NoiseJob::vector). Each is drawn once.
inline constexpr std::uint32_t kReleaseVector = 0;
inline constexpr std::uint32_t kClipCountVector = 1;
/// Bucket b (lemma L8): this plus b.
inline constexpr std::uint32_t kBucketVectors = 1u << 16;

}  // namespace muster::privacy
