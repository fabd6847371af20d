#include "loadtest/update_pool.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "client/plan.h"

namespace muster::loadtest {
namespace {

/// Different updates of one attack that draws at random.
constexpr std::uint32_t kVariants = 8;
/// Honest rows an attacker knows.
constexpr std::size_t kKnown = 32;

/// What there is to learn, and how far one device's data leads away from it: a tenth of what the
/// usual int8 scale holds, so that integer codecs neither saturate nor vanish.
constexpr float kSignal = 0.01F, kNoise = 0.02F;

std::vector<float> honest_row(std::uint64_t seed, std::uint32_t index, std::uint64_t dimension,
                              float bound) {
  client::Random signal(client::mix(seed, 1));
  client::Random noise(client::mix(client::mix(seed, 2), index));
  std::vector<float> row(dimension);
  for (float& value : row) {
    value = kSignal * static_cast<float>(2 * signal.uniform() - 1) +
            kNoise * static_cast<float>(2 * noise.uniform() - 1);
    value = std::clamp(value, -bound, bound);
  }
  return row;
}

/// Whether a pool encoded for one assignment serves the other.
bool encodes_alike(const wire::Assignment& a, const wire::Assignment& b) {
  const bool seeded = in_round_space(a.format.codec) || in_round_space(b.format.codec);
  return a.dimension == b.dimension && a.chunk_coordinates == b.chunk_coordinates &&
         a.format == b.format && a.scale_exponents == b.scale_exponents &&
         a.clip_norm == b.clip_norm && a.value_bound == b.value_bound &&
         (!seeded || a.codec_seed == b.codec_seed);
}

}  // namespace

Result<std::shared_ptr<const UpdatePool>> UpdatePool::make(const LoadPlan& plan,
                                                           const wire::Assignment& assignment) {
  auto pool = std::make_shared<UpdatePool>();
  pool->distinct_ = plan.distinct;
  const auto add = [&](const std::vector<float>& row, std::optional<RowAttack> attack) -> Status {
    const std::uint64_t seed = client::mix(client::mix(plan.seed, 3), pool->updates_.size());
    MUSTER_ASSIGN(client::EncodedUpdate encoded, client::encode(assignment, row, seed));
    PooledUpdate update{std::move(encoded.chunks), {}};
    bool impossible = false;
    if (attack) impossible = spoil(*attack, assignment.format, update.chunks.front());
    for (const auto& chunk : update.chunks) update.checksums.push_back(checksum(chunk));
    pool->updates_.push_back(std::move(update));
    pool->impossible_.push_back(impossible);
    return {};
  };
  const auto row = [&](std::uint32_t index) {
    return honest_row(plan.seed, index, assignment.dimension, assignment.value_bound);
  };
  for (std::uint32_t i = 0; i < plan.distinct; ++i) MUSTER_TRY(add(row(i), std::nullopt));
  std::vector<std::vector<float>> known;
  for (const FleetPlan& fleet : plan.fleets) {
    if (fleet.hostile_share <= 0 || pool->first_of_.contains(fleet.attack)) continue;
    for (std::uint32_t i = 0; known.size() < kKnown; ++i) known.push_back(row(i));
    pool->first_of_[fleet.attack] = pool->size();
    client::Random random(client::mix(plan.seed, 4 + static_cast<std::uint64_t>(fleet.attack)));
    const AttackedCohort cohort{known, std::max<std::size_t>(plan.cohort, 2),
                                static_cast<std::size_t>(fleet.hostile_share * plan.cohort),
                                assignment.value_bound, plan.rule};
    std::vector<float> hostile;
    for (std::uint32_t i = 0; i < kVariants; ++i) {
      if (i == 0 || draws_at_random(fleet.attack)) {
        MUSTER_ASSIGN(hostile, attack_row(fleet.attack, cohort, random));
      }
      MUSTER_TRY(add(hostile, fleet.attack));
    }
  }
  return std::shared_ptr<const UpdatePool>(std::move(pool));
}

std::uint32_t UpdatePool::hostile_index(RowAttack attack, std::uint64_t draw) const {
  return first_of_.at(attack) + static_cast<std::uint32_t>(draw % kVariants);
}

Result<std::shared_ptr<const RoundWork>> WorkBook::work(const wire::Assignment& assignment) {
  MUSTER_TRY(client::check_assignment(assignment));
  const std::lock_guard lock(mutex_);
  auto& place = rounds_[{assignment.task, assignment.round}];
  if (place) return place;
  auto work = std::make_shared<RoundWork>();
  work->assignment = assignment;
  work->chunk_count = client::chunk_count(assignment);
  // The newest rounds are the likely ones, and few pools differ.
  for (auto known = rounds_.rbegin(); known != rounds_.rend() && !work->pool; ++known)
    if (known->second && encodes_alike(known->second->assignment, assignment))
      work->pool = known->second->pool;
  if (!work->pool) {
    MUSTER_ASSIGN(work->pool, UpdatePool::make(plan_, assignment));
  }
  place = std::move(work);
  return place;
}

std::shared_ptr<const RoundWork> WorkBook::find(TaskId task, RoundNumber round) const {
  const std::lock_guard lock(mutex_);
  const auto found = rounds_.find({task, round});
  return found == rounds_.end() ? nullptr : found->second;
}

}  // namespace muster::loadtest
