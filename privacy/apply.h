// Mechanisms on a backend: integer sums with an exact sensitivity, and noise on them. What is
// passed to add_noise() has been charged before (design.md, law 3); sums without noise never leave
// the process and are wiped by their owner.
#pragma once

#include <cstdint>
#include <span>

#include "privacy/clip.h"
#include "privacy/mechanism.h"
#include "privacy/secret.h"

namespace muster::privacy {

// `sum`: rows.dimension zeroed i64 in backend memory.

/// The clipped mean's sum, and with F32 rows of shard outputs sample-and-aggregate's. `weights`:
/// one a row, in [0, max_weight].
Status add_contributions(kernels::Backend& backend, const Rows& rows,
                         const Contributions& contributions, std::span<const std::int64_t> weights,
                         std::int64_t* sum);

/// The sum of the kept values of each coordinate among n contributions, the f least and f greatest
/// left out. Devices beyond rows.n are absent: zero vectors. rows.n >= 1.
Status add_trimmed(kernels::Backend& backend, const Rows& rows, const Contributions& contributions,
                   std::uint32_t n, std::uint32_t f, std::int64_t* sum);

/// Sum of the clipped differences to `centre`, contributions as clip_to_grid() made them around it.
Status add_differences(kernels::Backend& backend, const Rows& rows,
                       const Contributions& contributions, const float* centre, std::int64_t* sum);

/// `members`: the rows of one bucket.
Status add_bucket(kernels::Backend& backend, const Rows& rows, const Contributions& contributions,
                  std::span<const std::uint32_t> members, std::int64_t* sum);

/// sum[k] += votes[k] * units; |votes| * units < 2^51. `votes`: sums of votes (VoteJob).
void add_votes(kernels::Backend& backend, const std::int64_t* votes, std::int64_t units,
               std::int64_t* sum, std::size_t dimension);

/// The release's noise: vector `vector` of `key` from coordinate `first` on, `weight` times (trees
/// take noise back).
void add_noise(kernels::Backend& backend, const Secret& key, std::uint32_t vector,
               const NoiseGrid& grid, std::int64_t* sum, std::size_t dimension,
               std::int64_t weight = 1, std::uint64_t first = 0);

}  // namespace muster::privacy
