#include "robust_agg/centre.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace muster::robust {
namespace {

/// Rows whose median is the centre. Odd.
constexpr std::size_t kCentreRows = 15;

}  // namespace

Result<Centre> Centre::create(const Execution& run) {
  const std::size_t d = run.plan.rule_chunk;
  MUSTER_ASSIGN(ScopedBuffer sum, ScopedBuffer::allocate(run.backend, d * sizeof(std::int64_t)));
  MUSTER_ASSIGN(ScopedBuffer values, ScopedBuffer::allocate(run.backend, d * sizeof(float)));
  Centre centre(std::move(sum), std::move(values));
  // Those of least rank: no device knows the ranks of a round.
  std::vector<std::pair<std::uint64_t, std::uint32_t>> ranks;
  for (std::uint32_t i = 0; i < run.rows.n(); ++i) ranks.emplace_back(run.rows.rank(i), i);
  std::sort(ranks.begin(), ranks.end());
  const std::size_t count = std::min(kCentreRows, (ranks.size() - 1) / 2 * 2 + 1);
  for (std::size_t k = 0; k < count; ++k) centre.sample_.push_back(ranks[k].second);
  return centre;
}

Result<const float*> Centre::of_chunk(const Execution& run, std::uint32_t index) {
  MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(index, sample_));
  const auto cut = static_cast<std::uint32_t>((sample_.size() - 1) / 2);
  run.backend.kept_sum({codes, cut, cut, run.plan.grid_bits, sum_.as<std::int64_t>()},
                       kernels::Stream::kCompute);
  run.backend.fill_zero(values_.data(), codes.d * sizeof(float), kernels::Stream::kCompute);
  kernels::StepJob to_floats;  // values = 0 + 1 * sum * 2^-g
  to_floats.sum = sum_.as<std::int64_t>();
  to_floats.scale = std::ldexp(1.0, -run.plan.grid_bits);
  to_floats.model = values_.as<float>();
  to_floats.d = codes.d;
  run.backend.step(to_floats, kernels::Stream::kCompute);
  return values_.as<const float>();
}

}  // namespace muster::robust
