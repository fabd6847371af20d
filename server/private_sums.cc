#include "server/private_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "privacy/apply.h"
#include "privacy/keys.h"
#include "server/private_parts.h"
#include "server/wiped_buffer.h"

namespace muster::server {
namespace {

constexpr auto kStream = kernels::Stream::kCompute;

void finish(kernels::Backend& backend) { backend.wait(backend.record(kStream)); }

/// Makes sums worth `worth` each in model units of those on the task's grid.
double divisor_of(const robust::Plan& plan, double worth) {
  return std::ldexp(1.0, -plan.grid_bits) / worth;
}

double worth(const privacy::Mechanism& mechanism) {
  return mechanism.grid.step / mechanism.divisor;
}

Status close_trimmed(PrivateClose& close) {
  std::vector<const std::byte*> addresses;
  const privacy::Rows rows = rows_of(close, addresses);
  const privacy::NoiseGrid& grid = close.round.mechanism.grid;
  MUSTER_ASSIGN(const auto contributions,
                clip_to_grid(close.backend, rows, close.plan.request.value_bound, grid));
  close.count.add(contributions);
  return add_trimmed(close.backend, rows, contributions, close.round.plan.request.n,
                     close.round.plan.f, close.sum);
}

Status close_centred(PrivateClose& close) {
  std::vector<const std::byte*> addresses;
  const privacy::Rows rows = rows_of(close, addresses);
  const privacy::NoiseGrid& grid = close.round.mechanism.grid;
  MUSTER_ASSIGN(
      const auto contributions,
      clip_to_grid(close.backend, rows, close.plan.request.value_bound, grid, close.centre));
  close.count.add(contributions);
  if (close.centre != nullptr)
    return add_differences(close.backend, rows, contributions, close.centre, close.sum);
  const std::vector<std::int64_t> ones(rows.n, 1);
  return add_contributions(close.backend, rows, contributions, ones, close.sum);
}

/// Noised differences to the aggregate itself, on the task's grid.
Status move_centre(const PrivateClose& close) {
  const robust::Plan& plan = close.plan;
  kernels::Backend& backend = close.backend;
  const std::size_t d = plan.rule_dimension;
  MUSTER_ASSIGN(const WipedBuffer moved, WipedBuffer::allocate(backend, d * sizeof(float)));
  // The centre is where the step begins.
  std::vector<float> centre(d);
  backend.download(std::as_writable_bytes(std::span(centre)),
                   reinterpret_cast<const std::byte*>(close.centre), kStream);
  backend.upload(moved.data(), std::as_bytes(std::span(centre)), kStream);
  kernels::StepJob step;
  step.sum = close.sum;
  step.scale = worth(close.round.mechanism);
  step.model = moved.as<float>();
  step.d = d;
  backend.step(step, kStream);
  backend.fill_zero(reinterpret_cast<std::byte*>(close.sum), d * sizeof(std::int64_t), kStream);
  finish(backend);
  const double one = 1;
  const std::int64_t weight = 1;
  for (std::size_t begin = 0; begin < d; begin += plan.rule_chunk) {
    const auto* row = reinterpret_cast<const std::byte*>(moved.as<float>() + begin);
    const kernels::Codes codes{{Codec::kF32}, std::min(plan.rule_chunk, d - begin), {&row, 1}, {}};
    kernels::RowSummary summary;
    // The grid has room for that many updates of the bound.
    const float most = plan.request.value_bound * static_cast<float>(plan.request.max_updates);
    backend.inspect({codes, most, {&summary, 1}, false}, kStream);
    if (!summary.valid())
      return {Code::kInvalid, "aggregate_out_of_bound",
              "the noised aggregate is beyond what the task's grid holds"};
    backend.accumulate({codes, {&one, 1}, {&weight, 1}, plan.grid_bits, close.sum + begin},
                       kStream);
    finish(backend);
  }
  return {};
}

Status noise_votes(const PrivateClose& close) {
  kernels::Backend& backend = close.backend;
  const std::size_t d = close.plan.rule_dimension, bytes = d * sizeof(std::int64_t);
  const privacy::Mechanism& mechanism = close.round.mechanism;
  MUSTER_ASSIGN(const WipedBuffer noised, WipedBuffer::allocate(backend, bytes));
  auto* const votes = noised.as<std::int64_t>();
  privacy::add_votes(backend, close.sum, privacy::vote_units(mechanism), votes, d);
  MUSTER_TRY(close.noise.add(backend, privacy::kReleaseVector, mechanism.grid, votes, d));
  backend.elect(votes, d, kStream);
  backend.fill_zero(reinterpret_cast<std::byte*>(close.sum), bytes, kStream);
  backend.merge({votes, 0, 1, close.sum, d}, kStream);
  finish(backend);
  return {};
}

Result<std::int64_t> noise_count(const PrivateClose& close) {
  kernels::Backend& backend = close.backend;
  MUSTER_ASSIGN(const WipedBuffer count, WipedBuffer::allocate(backend, sizeof(std::int64_t)));
  std::int64_t value = (close.count.unclipped - close.count.clipped) * close.round.plan.count_units;
  const auto bytes = std::as_writable_bytes(std::span(&value, 1));
  backend.upload(count.data(), bytes, kStream);
  privacy::NoiseGrid grid;
  grid.log2_sigma = privacy::kCountLog2Sigma;
  MUSTER_TRY(
      close.noise.add(backend, privacy::kClipCountVector, grid, count.as<std::int64_t>(), 1));
  backend.download(bytes, count.data(), kStream);
  return value;
}

}  // namespace

void ClipCount::add(const privacy::Contributions& contributions) {
  // An invalid update is the zero vector and counts neither way, as one that is absent.
  const auto n = static_cast<std::int64_t>(contributions.factors.size());
  clipped += contributions.clipped;
  unclipped += n - contributions.invalid - contributions.clipped;
}

PrivateFold::PrivateFold(kernels::Backend& backend, const robust::Plan& plan,
                         const PrivateRound& round, std::int64_t* sum, float* decoded)
    : backend_(backend),
      plan_(plan),
      round_(round),
      sum_(sum),
      decoded_(decoded),
      taken_(plan.chunk_count),
      addresses_(plan.chunk_count) {}

void PrivateFold::add(std::span<const kernels::Codes> chunks,
                      std::span<const std::uint32_t> weights) {
  MUSTER_CHECK_OP(chunks.size(), ==, plan_.chunk_count);
  for (std::uint32_t c = 0; c < plan_.chunk_count; ++c) {
    float* const decoded = decoded_ == nullptr ? nullptr : decoded_ + c * plan_.decoded_pitch;
    taken_[c] = robust::as_rules_take(plan_, backend_, chunks[c], decoded, addresses_[c]);
  }
  if (round_.plan.sum == NoisedSum::kVotes) {
    for (std::uint32_t c = 0; c < plan_.chunk_count; ++c)
      backend_.vote({taken_[c], sum_ + c * plan_.rule_chunk}, kStream);
    return finish(backend_);
  }
  privacy::Rows rows;
  rows.n = static_cast<std::uint32_t>(weights.size());
  rows.dimension = plan_.rule_dimension;
  rows.chunk_coordinates = plan_.rule_chunk;
  rows.chunk = [&](std::uint32_t c) -> Result<kernels::Codes> { return taken_[c]; };
  // Rows in memory do not fail to be read, and this needs no scratch.
  const auto contributions =
      clip_to_grid(backend_, rows, plan_.request.value_bound, round_.mechanism.grid).value();
  count_.add(contributions);
  std::vector<std::int64_t> counted;
  for (const std::uint32_t weight : weights)
    counted.push_back(std::clamp(weight, 1u, plan_.request.max_weight));
  MUSTER_CHECK(add_contributions(backend_, rows, contributions, counted, sum_).ok());
}

Result<NoisedSums> noise_sums(PrivateClose close) {
  const PrivateRound& round = close.round;
  const privacy::Mechanism& mechanism = round.mechanism;
  NoisedSums result;
  robust::Outcome& outcome = result.outcome;
  outcome.n = round.plan.request.n;
  outcome.f = round.plan.f;
  outcome.chosen = mechanism.name;
  outcome.divisor = divisor_of(close.plan, worth(mechanism));
  const auto noise = [&] {
    return close.noise.add(close.backend, privacy::kReleaseVector, mechanism.grid, close.sum,
                           close.plan.rule_dimension);
  };
  switch (round.plan.sum) {
    case NoisedSum::kMean:
      MUSTER_TRY(noise());
      break;
    case NoisedSum::kTrimmed:
      MUSTER_TRY(close_trimmed(close));
      MUSTER_TRY(noise());
      break;
    case NoisedSum::kCentred:
      MUSTER_TRY(close_centred(close));
      MUSTER_TRY(noise());
      if (close.centre == nullptr) break;
      MUSTER_TRY(move_centre(close));
      outcome.divisor = 1;
      break;
    case NoisedSum::kVotes:
      MUSTER_TRY(noise_votes(close));
      outcome.divisor = divisor_of(close.plan, round.plan.step);
      break;
    case NoisedSum::kBuckets: {
      MUSTER_ASSIGN(const double divisor, close_buckets(close));
      outcome.divisor = divisor_of(close.plan, divisor);
      break;
    }
    case NoisedSum::kTrimmedShards:
      MUSTER_TRY(close_trimmed_shards(close));
      MUSTER_TRY(noise());
      break;
    case NoisedSum::kShards:
      MUSTER_TRY(close_shards(close));
      MUSTER_TRY(noise());
      break;
  }
  if (round.plan.adaptive) {
    MUSTER_ASSIGN(result.clip_count, noise_count(close));
  }
  return result;
}

}  // namespace muster::server
