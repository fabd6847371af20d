#include "robust_agg/shard.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "robust_agg/buffer.h"
#include "robust_agg/cohort_part.h"
#include "robust_agg/execution.h"
#include "robust_agg/rank_order.h"
#include "robust_agg/text.h"

namespace muster::robust {
namespace {

/// Which sketches are those of a shard's rows.
std::vector<std::uint32_t> sketches_of(const CohortPart& part, const SketchedCohort* sketched) {
  std::vector<std::uint32_t> indices;
  for (std::uint32_t i = 0; sketched != nullptr && i < part.size(); ++i)
    indices.push_back(sketched->indices[part.row(i)]);
  return indices;
}

/// Rows of shard `index` of `count` of a cohort of n, ascending.
std::vector<std::uint32_t> shard_rows(RankOrder& order, std::uint64_t index, std::uint64_t count,
                                      std::uint64_t n) {
  const auto shard = order.rows(index * n / count, (index + 1) * n / count);
  std::vector<std::uint32_t> rows(shard.begin(), shard.end());
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace

std::uint32_t faulty_in_shard(std::uint32_t n, std::uint32_t faulty, std::uint32_t drawn,
                              std::uint32_t shards, double failure) {
  MUSTER_CHECK_OP(faulty, <=, n);
  MUSTER_CHECK_OP(drawn, <=, n);
  const std::uint32_t good = n - faulty;
  const std::uint32_t least = drawn > good ? drawn - good : 0, most = std::min(drawn, faulty);
  // Probabilities in units of that of a value near the mode, by the ratio of neighbours.
  const auto mean = static_cast<std::uint32_t>(std::uint64_t{drawn} * faulty / n);
  const std::uint32_t middle = std::clamp(mean, least, most);
  const auto up = [&](std::uint32_t k) {  // P(k + 1) / P(k)
    return static_cast<double>(faulty - k) * static_cast<double>(drawn - k) /
           (static_cast<double>(k + 1) * static_cast<double>(good - drawn + k + 1));
  };
  constexpr double kNothing = 1e-60;  // all that follows is far below any failure asked for
  std::vector<double> above;          // P(middle), P(middle + 1), ...
  double probability = 1, total = 0;
  for (std::uint32_t k = middle;; ++k) {
    above.push_back(probability);
    if (k == most || probability < kNothing) break;
    probability *= up(k);
  }
  probability = 1;
  for (std::uint32_t k = middle; k > least && probability > kNothing; --k) {
    probability /= up(k - 1);
    total += probability;
  }
  for (std::size_t k = above.size(); k-- > 0;) total += above[k];
  // From the far end of the tail, small numbers first.
  double tail = 0;
  for (std::size_t k = above.size(); k-- > 0; tail += above[k])
    if (static_cast<double>(shards) * (tail + above[k]) > failure * total)
      return middle + static_cast<std::uint32_t>(k);
  return middle;  // more than failure allows is below: the bound is at the mode already
}

Result<Shards> make_shards(const Sharding& sharding, const Rule& rule, std::uint32_t n,
                           std::span<const PreStep> steps) {
  MUSTER_CHECK_OP(n, >=, 1u);
  Shards shards;
  shards.count = divide_up(n, sharding.size);
  shards.smallest = n / shards.count;
  shards.largest = divide_up(n, shards.count);
  const std::uint32_t faulty = FaultBound{std::nullopt, sharding.byzantine_share}.of(n);
  shards.f = faulty_in_shard(n, faulty, shards.largest, shards.count, sharding.failure);
  const auto with_f = with_faults(std::vector<PreStep>(steps.begin(), steps.end()), shards.f);
  const std::uint32_t needed =
      std::max(minimum_cohort(with_f, with_faults(rule, shards.f), n), 2 * shards.f + 1);
  if (shards.smallest < needed)
    return Status(Code::kInvalid, "shard_bound",
                  std::to_string(n) + " updates, " + std::to_string(faulty) +
                      " of them faulty, in " + std::to_string(shards.count) + " shards of " +
                      std::to_string(shards.smallest) + " to " + std::to_string(shards.largest) +
                      " can leave " + std::to_string(shards.f) + " faulty in one; " +
                      std::string(rule_name(rule)) + " then needs shards of " +
                      std::to_string(needed) + ": raise shard_size or lower byzantine_share");
  return shards;
}

Status check_shards(const Sharding& sharding, const Rule& rule, std::uint32_t minimum_cohort,
                    std::uint32_t max_updates, std::span<const PreStep> steps) {
  // Between two multiples of the size the number of shards is the same and they only grow, so the
  // hardest cohorts are those just past a multiple, and least of them the first ones. A cohort this
  // does not find is refused when it is aggregated.
  constexpr std::uint64_t kOneByOne = 1024;
  const auto sound = [&](std::uint64_t n) {
    return make_shards(sharding, rule, static_cast<std::uint32_t>(n), steps).status();
  };
  const std::uint64_t last = std::min<std::uint64_t>(minimum_cohort + kOneByOne, max_updates);
  for (std::uint64_t n = minimum_cohort; n <= last; ++n) MUSTER_TRY(sound(n));
  for (std::uint64_t shards = last / sharding.size + 1; shards * sharding.size < max_updates;
       shards += 1 + shards / 64)
    MUSTER_TRY(sound(shards * sharding.size + 1));
  return sound(max_updates);
}

Rule with_faults(Rule rule, std::uint32_t f) {
  std::visit(
      [f](auto& any) {
        if constexpr (requires { any.f = FaultBound{}; }) any.f = FaultBound{f, 0};
      },
      rule);
  return rule;
}

Result<std::optional<Sharding>> parse_sharding(const Rule& rule, const RuleParameters& parameters) {
  if (!parameters.shard_size) return std::optional<Sharding>();
  const auto refuse = [&](const std::string& why) {
    return Status(Code::kInvalid, "rule_parameter", std::string(rule_name(rule)) + why);
  };
  if (uses_trusted(rule)) return refuse(" takes no shard_size: its trusted update is in one shard");
  if (!parameters.byzantine_share)
    return refuse(" in shards needs byzantine_share; the f of a shard follows from it");
  if (const double share = *parameters.byzantine_share; !(share >= 0 && share < 0.5))
    return refuse(" in shards: byzantine_share must be in [0, 0.5), it is " +
                  std::to_string(share));
  if (*parameters.shard_size < 1 || *parameters.shard_size > limits::kMaxUpdates)
    return refuse(": shard_size must be in [1, " + std::to_string(limits::kMaxUpdates) +
                  "], it is " + std::to_string(*parameters.shard_size));
  return std::optional(Sharding{*parameters.shard_size, *parameters.byzantine_share});
}

std::string to_string(const Sharding& sharding) {
  return "in shards of " + std::to_string(sharding.size) +
         ", byzantine_share=" + number_text(sharding.byzantine_share) +
         ", failure=" + number_text(sharding.failure);
}

Result<Outcome> aggregate_shards(const Plan& plan, kernels::Backend& backend, Cohort& cohort,
                                 std::int64_t* sum, const float* previous,
                                 const SketchedCohort* sketched) {
  if (cohort.size() == 0)
    return Status(Code::kInvalid, "cohort_too_small", "a sharded rule needs at least one update");
  MUSTER_ASSIGN(const Shards shards, make_shards(*plan.request.sharding, plan.request.rule,
                                                 cohort.size(), plan.request.pre_steps));
  Plan part_plan = plan;
  part_plan.request.sharding.reset();
  part_plan.request.rule = with_faults(plan.request.rule, shards.f);
  part_plan.request.pre_steps = with_faults(plan.request.pre_steps, shards.f);
  const auto d = static_cast<std::size_t>(plan.rule_dimension);
  MUSTER_ASSIGN(const ScopedBuffer part_sum,
                ScopedBuffer::allocate_by_chunk(backend, d * sizeof(std::int64_t),
                                                plan.rule_chunk * sizeof(std::int64_t)));
  Outcome outcome;
  std::string first;
  RankOrder order(cohort.ranks());
  const SketchKey key = uses_sketches(plan.request.rule) ? cohort.sketch_key() : SketchKey();
  for (std::uint32_t shard = 0; shard < shards.count; ++shard) {
    CohortPart part(cohort, shard_rows(order, shard, shards.count, cohort.size()), key);
    if (shard > 0)
      backend.fill_zero(part_sum.data(), d * sizeof(std::int64_t), kernels::Stream::kCompute);
    const std::vector<std::uint32_t> indices = sketches_of(part, sketched);
    const SketchedCohort part_sketched{sketched != nullptr ? sketched->fold : nullptr, indices};
    MUSTER_ASSIGN(const Outcome result,
                  aggregate(part_plan, backend, part, part_sum.as<std::int64_t>(), previous,
                            sketched != nullptr ? &part_sketched : nullptr));
    backend.merge({part_sum.as<std::int64_t>(), 0, result.divisor, sum, d},
                  kernels::Stream::kCompute);
    outcome.n += result.n;
    outcome.invalid += result.invalid;
    outcome.norms.add(result.norms);
    for (const std::uint32_t position : result.selected.rows())
      outcome.selected.add(part.row(position));
    if (shard == 0) first = result.chosen;
  }
  finish_jobs(backend);
  outcome.f = shards.f;
  outcome.divisor = shards.count;
  outcome.chosen = "mean of " + std::to_string(shards.count) + " shards of " +
                   std::to_string(shards.smallest) + " to " + std::to_string(shards.largest) +
                   " updates, at most " + std::to_string(shards.f) +
                   " faulty in each but for a probability of " +
                   number_text(plan.request.sharding->failure) + "; the first: " + first;
  return outcome;
}

}  // namespace muster::robust
