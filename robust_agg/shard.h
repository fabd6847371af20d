// Random sharding around any rule: robust in each shard, the mean of the shards after. Memory is
// that of one shard, whatever the cohort.
//
// Devices go to ceil(n / size) shards by their keyed rank, which nobody knows before the round
// closes; sizes differ by one at most. With f_g faulty in the worst shard each shard's output keeps
// the rule's promise for f_g of its size, and so does their mean. f_g is exact: the least number
// that all shards stay within but for a probability `failure`, by the hypergeometric tail of one
// shard times their number.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "robust_agg/pre_step.h"
#include "robust_agg/rule.h"

namespace muster::robust {

struct Sharding {
  std::uint32_t size = 0;      ///< updates of a shard, at most
  double byzantine_share = 0;  ///< of the whole cohort, in [0, 0.5)
  double failure = 1e-9;       ///< probability that some shard has more than f_g faulty
};

/// The shards of a cohort of n.
struct Shards {
  std::uint32_t count = 0;
  std::uint32_t smallest = 0, largest = 0;  ///< updates of a shard
  std::uint32_t f = 0;                      ///< f_g
};

/// Least f with shards * P(X > f) <= failure, X the faulty ones among `drawn` of n updates of which
/// `faulty` are faulty. Additions, products and quotients of f64 only: the same everywhere.
std::uint32_t faulty_in_shard(std::uint32_t n, std::uint32_t faulty, std::uint32_t drawn,
                              std::uint32_t shards, double failure);

/// "shard_bound" where a shard could not carry the rule with f_g faulty, with the numbers.
/// `steps` go before the rule in every shard.
Result<Shards> make_shards(const Sharding& sharding, const Rule& rule, std::uint32_t n,
                           std::span<const PreStep> steps = {});
/// make_shards() for every kind of cohort between the two sizes.
Status check_shards(const Sharding& sharding, const Rule& rule, std::uint32_t minimum_cohort,
                    std::uint32_t max_updates, std::span<const PreStep> steps = {});

/// The same rule with f as its fault bound, where it has one.
Rule with_faults(Rule rule, std::uint32_t f);

/// Sharding if the parameters ask for it (shard_size); it needs byzantine_share, also for rules
/// that take no f. "rule_parameter" otherwise, and for rules that need a trusted update in every
/// shard.
Result<std::optional<Sharding>> parse_sharding(const Rule& rule, const RuleParameters& parameters);
/// "in shards of 256, byzantine_share=0.1, failure=1e-09": beside to_string(rule) for people and
/// terms.
std::string to_string(const Sharding& sharding);

}  // namespace muster::robust
