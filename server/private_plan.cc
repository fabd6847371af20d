#include "server/private_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "privacy/correlated_noise.h"

namespace muster::server {
namespace {

using privacy::Placement;

/// Share of hostile buckets where the task names none.
constexpr double kUsualShare = 0.1;
/// Noise never leaves 2^4 of its standard deviations (kernels::NoiseJob).
constexpr double kNoiseReach = 16;

NoisedSum sum_of(const TaskConfig& task) {
  switch (task.privacy->placement()) {
    case Placement::kBuckets:
      return NoisedSum::kBuckets;
    case Placement::kShards:
      return task.rule == "trimmed_mean" ? NoisedSum::kTrimmedShards : NoisedSum::kShards;
    default:
      break;
  }
  if (task.rule == "trimmed_mean") return NoisedSum::kTrimmed;
  if (task.rule == "centred_clipping") return NoisedSum::kCentred;
  if (task.rule == "sign_majority") return NoisedSum::kVotes;
  return NoisedSum::kMean;
}

/// The rule on rows of f32 as long as what the task's rules see.
robust::PlanRequest inner_request(const TaskConfig& task, const RuleChoice& choice,
                                  const robust::Plan& plan) {
  robust::PlanRequest request;
  request.rule = choice.rule;
  request.pre_steps = choice.pre_steps;
  request.dimension = plan.rule_dimension;
  request.chunk_coordinates = static_cast<std::uint32_t>(plan.rule_chunk);
  request.format = {Codec::kF32};
  request.value_bound = task.value_bound;
  request.invalid_updates = robust::InvalidUpdates::kZero;
  request.keeps_rows = true;
  return request;
}

Status plan_buckets(const TaskConfig& task, const RuleChoice& choice, const robust::Plan& plan,
                    const kernels::Backend& backend, PrivatePlan& out) {
  out.parts = task.privacy->buckets;
  if (out.parts == 0)
    return {Code::kInvalid, "bucket_shape", "mechanism buckets needs a number of buckets"};
  out.part_size = out.request.n / out.parts;
  MUSTER_ASSIGN(const privacy::Mechanism mechanism, out.mechanism(out.request.clip_norm));
  const double share = task.rule_parameters.byzantine_share.value_or(
      task.rule_parameters.f.has_value() ? double(*task.rule_parameters.f) / out.parts
                                         : kUsualShare);
  if (!privacy::buckets_are_useful(out.request, out.part_size, share))
    return {Code::kInvalid, "buckets_drown",
            fmt::format("with {} updates a bucket, noise multiplier {} and {} coordinates nothing "
                        "that a share of {} of hostile buckets does can be told from the noise; "
                        "take fewer buckets or trimmed_mean with mechanism central",
                        out.part_size, out.request.noise_multiplier, out.request.dimension, share)};
  robust::PlanRequest request = inner_request(task, choice, plan);
  request.max_updates = request.minimum_cohort = out.parts;
  // No noised mean can leave it.
  const double reach = 1 + kNoiseReach * out.request.noise_multiplier * 2 / out.part_size;
  request.value_bound = static_cast<float>(out.request.clip_norm * reach * 1.01);
  MUSTER_ASSIGN(out.inner, robust::make_plan(request, backend));
  return {};
}

Status plan_shards(const TaskConfig& task, const RuleChoice& choice, const robust::Plan& plan,
                   const kernels::Backend& backend, PrivatePlan& out) {
  out.parts = task.privacy->shards;
  if (out.parts == 0)
    return {Code::kInvalid, "shard_shape", "mechanism shards needs a number of shards"};
  if (const auto* trimmed = std::get_if<robust::TrimmedMean>(&choice.rule))
    out.f = trimmed->f.of(out.request.n / out.parts);
  MUSTER_TRY(out.mechanism(out.request.clip_norm).status());
  out.part_size = divide_up(out.request.n, out.parts);
  if (out.sum == NoisedSum::kTrimmedShards) return {};
  robust::PlanRequest request = plan.request;
  request.rule = choice.rule;
  request.pre_steps = choice.pre_steps;
  request.max_updates = out.part_size;
  // The rule has to be defined for whole shards; one that lost too many counts as zero.
  request.minimum_cohort = out.part_size;
  request.memory_budget = 0;
  MUSTER_ASSIGN(out.inner, robust::make_plan(request, backend));
  return {};
}

Status plan_clip(const TaskConfig& task, PrivatePlan& out) {
  if (task.privacy->adaptive_clip == "none") return {};
  privacy::AdaptiveClip adaptive;
  adaptive.quantile = task.privacy->clip_quantile;
  adaptive.rate = task.privacy->clip_rate;
  adaptive.n = out.request.n;
  adaptive.count_sigma =
      task.privacy->clip_count_noise > 0 ? task.privacy->clip_count_noise : out.request.n / 20.0;
  MUSTER_ASSIGN(out.count_units, privacy::count_units_per_half(adaptive.count_sigma));
  MUSTER_ASSIGN(out.request.noise_multiplier,
                privacy::update_multiplier(out.request.noise_multiplier, adaptive.count_sigma));
  out.adaptive = adaptive;
  return {};
}

}  // namespace

void prepare_private(const TaskConfig& task, const RuleChoice& choice,
                     robust::PlanRequest& request) {
  const NoisedSum sum = sum_of(task);
  if (sum != NoisedSum::kBuckets && sum != NoisedSum::kShards && sum != NoisedSum::kTrimmedShards)
    return;
  // The rule runs elsewhere; rows are what is needed of this plan.
  request.keeps_rows = true;
  request.pre_steps.clear();
  if (!robust::uses_previous(choice.rule)) request.rule = robust::Mean{};
}

Result<PrivatePlan> plan_privacy(const TaskConfig& task, const RuleChoice& choice,
                                 const robust::Plan& plan, const kernels::Backend& backend) {
  PrivatePlan out;
  out.config = *task.privacy;
  out.sum = sum_of(task);
  out.rounds = task.rounds;
  out.request.clip_norm = out.config.clip_norm > 0 ? out.config.clip_norm : 1;
  out.request.noise_multiplier = out.config.noise_multiplier;
  out.request.dimension = plan.rule_dimension;
  out.request.n = plan.request.max_updates;
  out.request.adjacency = out.config.relation();
  out.max_weight = plan.request.max_weight;
  out.weight_total = static_cast<double>(task.target_cohort) * out.max_weight;
  if (const auto* trimmed = std::get_if<robust::TrimmedMean>(&choice.rule))
    out.f = trimmed->f.count.value_or(0);
  if (const auto* majority = std::get_if<robust::SignMajority>(&choice.rule))
    out.step = majority->step;
  if (out.config.sampling == "blt" && task.rounds == 0)
    return Status(Code::kInvalid, "rounds_needed",
                  "what BLT noise costs in rounding grows with the rounds; give rounds");
  MUSTER_TRY(plan_clip(task, out));
  if (out.sum == NoisedSum::kBuckets) MUSTER_TRY(plan_buckets(task, choice, plan, backend, out));
  if (out.config.placement() == Placement::kShards)
    MUSTER_TRY(plan_shards(task, choice, plan, backend, out));
  MUSTER_ASSIGN(const privacy::Mechanism mechanism, out.mechanism(out.request.clip_norm));
  const double most = static_cast<double>(out.request.n) * out.max_weight *
                      static_cast<double>(mechanism.grid.bound);
  if (std::log2(most) + restore_headroom_bits(plan.request.format) > 62)
    return Status(Code::kInvalid, "noise_grid_overflow",
                  "sums on the noise grid would leave 64 bits when the codec's coordinates are "
                  "restored; keep a larger share, or take another codec");
  MUSTER_TRY(out.charge(mechanism, 1).status());
  return out;
}

std::vector<robust::MemoryItem> private_memory(const PrivatePlan& privacy, const robust::Plan& plan,
                                               const kernels::Backend& backend) {
  const std::size_t d = plan.rule_dimension, row = plan.chunk_count * plan.rule_chunk;
  switch (privacy.sum) {
    case NoisedSum::kMean:
      return {};
    case NoisedSum::kTrimmed:
      return {
          {"scratch of the noised window", backend.window_sum_scratch_bytes(privacy.request.n)}};
    case NoisedSum::kTrimmedShards:
      return {{"scratch of a shard's window", backend.window_sum_scratch_bytes(privacy.part_size)},
              {"a shard's kept values", 8 * plan.rule_chunk}};
    case NoisedSum::kCentred:
      return {{"centre on the grid", 8 * plan.rule_chunk}, {"released aggregate", 4 * d}};
    case NoisedSum::kVotes:
      return {{"noised votes", 8 * d}};
    case NoisedSum::kBuckets:
      return {{"means of buckets", 4 * row * privacy.parts},
              {"rule on buckets", privacy.inner->peak_bytes}};
    case NoisedSum::kShards:
      return {{"outputs of shards", 4 * row * privacy.parts},
              {"shard sum", 8 * d},
              {"rule in a shard", privacy.inner->peak_bytes}};
  }
  return {};
}

Result<privacy::Mechanism> PrivatePlan::mechanism(double clip_norm) const {
  privacy::MechanismRequest now = request;
  now.clip_norm = clip_norm;
  switch (sum) {
    case NoisedSum::kMean:
      return privacy::gaussian_mean(now, max_weight, weight_total);
    case NoisedSum::kTrimmed:
      return privacy::trimmed_mean(now, f);
    case NoisedSum::kTrimmedShards:
      return privacy::trimmed_shards(now, parts, f);
    case NoisedSum::kCentred:
      return privacy::centred_clipping(now);
    case NoisedSum::kVotes:
      return privacy::sign_votes(now);
    case NoisedSum::kBuckets:
      return privacy::noised_buckets(now, parts, part_size);
    case NoisedSum::kShards:
      return privacy::sample_and_aggregate(now, parts);
  }
  return Status(Code::kInternal, "mechanism_unknown", "no such sum");
}

privacy::Schedule PrivatePlan::schedule(const privacy::Mechanism& mechanism) const {
  privacy::Schedule run;
  run.adjacency = mechanism.adjacency;
  run.sampling = config.statement();
  run.rounds = rounds;
  double squares = 1 / (mechanism.noise_multiplier * mechanism.noise_multiplier);
  if (adaptive) {
    const double count =
        std::ldexp(1.0, privacy::kCountLog2Sigma) / static_cast<double>(count_units);
    squares += 1 / (count * count);
  }
  run.noise_multiplier = 1 / std::sqrt(squares);
  if (const auto* blt = std::get_if<privacy::BltNoise>(&run.sampling))
    run.noise_multiplier = privacy::blt_multiplier(
        run.noise_multiplier, static_cast<double>(mechanism.sensitivity_units), blt->blt,
        mechanism.grid.log2_sigma, request.dimension, rounds);
  run.noise_multiplier *= 1 - 1e-12;  // rounded down
  return run;
}

std::uint64_t PrivatePlan::draws() const {
  return request.dimension * std::max(1u, sum == NoisedSum::kBuckets ? parts : 1u) +
         (adaptive ? 1 : 0);
}

Result<privacy::Amounts> PrivatePlan::charge(const privacy::Mechanism& mechanism,
                                             std::uint64_t index) const {
  if (config.sampling == "blt" && index > rounds)
    return Status(Code::kExhausted, "blt_rounds_spent",
                  fmt::format("the noise was made for {} releases, abandoned ones that had been "
                              "charged count: the task has ended",
                              rounds));
  return privacy::round_charge(schedule(mechanism), index, draws(), mechanism.grid.log2_sigma);
}

std::string PrivatePlan::describe(const privacy::Mechanism& mechanism) const {
  return fmt::format("{}, {}, {}, z {:.6g}, {} k {} b {}", mechanism.name,
                     privacy::adjacency_name(mechanism.adjacency), mechanism.formula,
                     schedule(mechanism).noise_multiplier, config.sampling, config.participations,
                     config.separation);
}

}  // namespace muster::server
