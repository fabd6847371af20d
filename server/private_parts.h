// Private rounds whose rule runs on noised bucket means or in shards; private_sums.cc only.
#pragma once

#include <vector>

#include "server/private_sums.h"

namespace muster::server {

/// The rows of a close as mechanisms take them; `addresses`, like `close`, outlives them.
privacy::Rows rows_of(const PrivateClose& close, std::vector<const std::byte*>& addresses);

/// Lemma L8: noises every bucket's sum and runs the rule on the means. What one unit of the sums in
/// close.sum is worth, in model units.
Result<double> close_buckets(PrivateClose& close);
/// Lemma L2: adds up in close.sum what a trimmed mean keeps in each shard, without noise yet.
Status close_trimmed_shards(PrivateClose& close);
/// Lemma L9: runs the rule in every shard and adds up the clipped outputs in close.sum, without
/// noise yet. A shard too small or too broken for the rule is the zero vector.
Status close_shards(PrivateClose& close);

}  // namespace muster::server
