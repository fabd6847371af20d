#include "server/private_parts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "privacy/apply.h"
#include "privacy/keys.h"
#include "robust_agg/cohort_part.h"
#include "server/wiped_buffer.h"

namespace muster::server {
namespace {

constexpr auto kStream = kernels::Stream::kCompute;

/// Rows of f32 in backend memory, `pitch` apart, in chunks as long as those of `plan`.
class FloatRows final : public robust::Cohort {
 public:
  FloatRows(const float* values, std::uint32_t n, const robust::Plan& plan)
      : values_(values), plan_(plan), weights_(n, 1), ranks_(n), addresses_(n) {
    std::iota(ranks_.begin(), ranks_.end(), 0);
  }
  static std::size_t pitch(const robust::Plan& plan) { return plan.chunk_count * plan.rule_chunk; }

  std::uint32_t size() const override { return static_cast<std::uint32_t>(weights_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    const std::size_t begin = index * plan_.rule_chunk;
    for (std::size_t i = 0; i < addresses_.size(); ++i)
      addresses_[i] = reinterpret_cast<const std::byte*>(values_ + i * pitch(plan_) + begin);
    return kernels::Codes{
        {Codec::kF32}, std::min(plan_.rule_chunk, plan_.rule_dimension - begin), addresses_, {}};
  }

 private:
  const float* values_;
  const robust::Plan& plan_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<const std::byte*> addresses_;
};

/// Rows dealt out in the order of their keyed ranks, which know devices and the round's secret but
/// no values: ascending within each part.
std::vector<std::vector<std::uint32_t>> deal(const robust::Cohort& cohort, std::uint32_t parts) {
  std::vector<std::uint32_t> order(cohort.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto ranks = cohort.ranks();
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return ranks[a] < ranks[b]; });
  std::vector<std::vector<std::uint32_t>> dealt(parts);
  for (std::size_t i = 0; i < order.size(); ++i) dealt[i % parts].push_back(order[i]);
  for (auto& part : dealt) std::sort(part.begin(), part.end());
  return dealt;
}

void clear(kernels::Backend& backend, std::int64_t* sum, std::size_t d) {
  backend.fill_zero(reinterpret_cast<std::byte*>(sum), d * sizeof(std::int64_t), kStream);
}

/// target (zeros) = sum * scale, as f32.
void to_floats(kernels::Backend& backend, const std::int64_t* sum, double scale, float* target,
               std::size_t d) {
  kernels::StepJob step;
  step.sum = sum;
  step.scale = scale;
  step.model = target;
  step.d = d;
  backend.step(step, kStream);
  backend.wait(backend.record(kStream));
}

}  // namespace

privacy::Rows rows_of(const PrivateClose& close, std::vector<const std::byte*>& addresses) {
  privacy::Rows rows;
  rows.n = close.cohort->size();
  rows.dimension = close.plan.rule_dimension;
  rows.chunk_coordinates = close.plan.rule_chunk;
  rows.chunk = [&close, &addresses](std::uint32_t c) -> Result<kernels::Codes> {
    MUSTER_ASSIGN(const kernels::Codes sent, close.cohort->chunk(c));
    return robust::as_rules_take(close.plan, close.backend, sent, close.decoded, addresses);
  };
  return rows;
}

Result<double> close_buckets(PrivateClose& close) {
  const PrivateRound& round = close.round;
  const privacy::Mechanism& mechanism = round.mechanism;
  kernels::Backend& backend = close.backend;
  const std::size_t d = close.plan.rule_dimension, pitch = FloatRows::pitch(close.plan);
  MUSTER_ASSIGN(const WipedBuffer means,
                WipedBuffer::allocate(backend, round.plan.parts * pitch * sizeof(float)));
  std::vector<const std::byte*> addresses;
  const privacy::Rows rows = rows_of(close, addresses);
  MUSTER_ASSIGN(const auto contributions,
                clip_to_grid(backend, rows, close.plan.request.value_bound, mechanism.grid));
  const auto members = deal(*close.cohort, round.plan.parts);
  for (std::uint32_t b = 0; b < round.plan.parts; ++b) {
    clear(backend, close.sum, d);
    if (!members[b].empty())
      MUSTER_TRY(privacy::add_bucket(backend, rows, contributions, members[b], close.sum));
    // A bucket nobody is in is noised as any other.
    MUSTER_TRY(close.noise.add(backend, privacy::kBucketVectors + b, mechanism.grid, close.sum, d));
    to_floats(backend, close.sum, mechanism.grid.step / mechanism.divisor,
              means.as<float>() + b * pitch, d);
  }
  clear(backend, close.sum, d);
  FloatRows noised(means.as<float>(), round.plan.parts, close.plan);
  const robust::Plan& inner = *round.plan.inner;
  MUSTER_ASSIGN(const robust::Outcome outcome,
                robust::aggregate(inner, backend, noised, close.sum, close.centre));
  return std::ldexp(1.0, -inner.grid_bits) / outcome.divisor;
}

Status close_trimmed_shards(PrivateClose& close) {
  const PrivateRound& round = close.round;
  kernels::Backend& backend = close.backend;
  std::vector<const std::byte*> addresses;
  const privacy::Rows rows = rows_of(close, addresses);
  MUSTER_ASSIGN(const auto contributions,
                clip_to_grid(backend, rows, close.plan.request.value_bound, round.mechanism.grid));
  const auto members = deal(*close.cohort, round.plan.parts);
  MUSTER_ASSIGN(const WipedBuffer kept,
                WipedBuffer::allocate(backend, rows.chunk_coordinates * sizeof(std::int64_t)));
  // Every row's codes are looked up once a chunk, however many shards there are.
  for (std::uint32_t c = 0; c < rows.chunk_count(); ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, rows.chunk(c));
    for (const auto& shard : members) {
      if (shard.empty()) continue;  // zeros are kept, and add nothing
      std::vector<const std::byte*> chosen;
      privacy::Contributions theirs;
      for (const std::uint32_t row : shard) {
        chosen.push_back(codes.rows[row]);
        theirs.factors.push_back(contributions.factors[row]);
      }
      privacy::Rows part;
      part.n = static_cast<std::uint32_t>(shard.size());
      part.dimension = part.chunk_coordinates = codes.d;
      part.chunk = [&](std::uint32_t) -> Result<kernels::Codes> {
        return kernels::Codes{codes.format, codes.d, chosen, codes.scale_exponents};
      };
      auto* const sum = kept.as<std::int64_t>();
      clear(backend, sum, codes.d);
      MUSTER_TRY(
          privacy::add_trimmed(backend, part, theirs, round.plan.part_size, round.plan.f, sum));
      backend.merge({sum, 0, 1, close.sum + rows.begin(c), codes.d}, kStream);
      backend.wait(backend.record(kStream));
    }
  }
  return {};
}

Status close_shards(PrivateClose& close) {
  const PrivateRound& round = close.round;
  kernels::Backend& backend = close.backend;
  const robust::Plan& inner = *round.plan.inner;
  const std::size_t d = close.plan.rule_dimension, pitch = FloatRows::pitch(close.plan);
  MUSTER_ASSIGN(const WipedBuffer outputs,
                WipedBuffer::allocate(backend, round.plan.parts * pitch * sizeof(float)));
  MUSTER_ASSIGN(const WipedBuffer sum, WipedBuffer::allocate(backend, d * sizeof(std::int64_t)));
  const auto members = deal(*close.cohort, round.plan.parts);
  for (std::uint32_t g = 0; g < round.plan.parts; ++g) {
    if (members[g].empty()) continue;
    clear(backend, sum.as<std::int64_t>(), d);
    robust::CohortPart shard(*close.cohort, members[g], close.cohort->sketch_key());
    const auto outcome =
        robust::aggregate(inner, backend, shard, sum.as<std::int64_t>(), close.centre);
    if (!outcome.ok()) {
      if (outcome.status().code() == Code::kInvalid) continue;
      return outcome.status();
    }
    to_floats(backend, sum.as<std::int64_t>(), std::ldexp(1.0, -inner.grid_bits) / outcome->divisor,
              outputs.as<float>() + g * pitch, d);
  }
  FloatRows results(outputs.as<float>(), round.plan.parts, close.plan);
  privacy::Rows rows;
  rows.n = round.plan.parts;
  rows.dimension = d;
  rows.chunk_coordinates = close.plan.rule_chunk;
  rows.chunk = [&](std::uint32_t c) { return results.chunk(c); };
  MUSTER_ASSIGN(
      const auto contributions,
      clip_to_grid(backend, rows, std::numeric_limits<float>::max(), round.mechanism.grid));
  const std::vector<std::int64_t> ones(rows.n, 1);
  return add_contributions(backend, rows, contributions, ones, close.sum);
}

}  // namespace muster::server
