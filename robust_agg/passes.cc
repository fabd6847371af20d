// What rules that pass over sealed rows have in common.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "base/check.h"
#include "robust_agg/execution.h"

namespace muster::robust {

double order_free_sum(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return std::accumulate(values.begin(), values.end(), 0.0);
}

std::vector<std::uint32_t> least_rows(const ValidRows& rows, std::span<const double> keys,
                                      std::uint32_t m) {
  MUSTER_CHECK_OP(m, <=, rows.n());
  std::vector<std::uint32_t> order(rows.n());
  std::iota(order.begin(), order.end(), 0u);
  std::partial_sort(
      order.begin(), order.begin() + m, order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return std::tuple(keys[a], rows.rank(a), a) < std::tuple(keys[b], rows.rank(b), b);
      });
  order.resize(m);
  std::sort(order.begin(), order.end());
  return order;
}

Status add_rows(const Execution& run, std::span<const double> factors) {
  const std::vector<std::int64_t> weights(run.rows.n(), 1);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    run.backend.accumulate(
        {codes, factors, weights, run.plan.grid_bits, run.sum + chunk_begin(run.plan, c)},
        kernels::Stream::kCompute);
  }
  return {};
}

Status add_rows(const Execution& run, std::span<const std::uint32_t> rows) {
  const std::vector<double> factors(rows.size(), 1.0);
  const std::vector<std::int64_t> weights(rows.size(), 1);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, rows));
    run.backend.accumulate(
        {codes, factors, weights, run.plan.grid_bits, run.sum + chunk_begin(run.plan, c)},
        kernels::Stream::kCompute);
  }
  return {};
}

Status measure(const Execution& run, double scale, std::span<double> squared_distances) {
  std::fill(squared_distances.begin(), squared_distances.end(), 0.0);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    run.backend.relate({codes, run.sum + chunk_begin(run.plan, c), scale, squared_distances, {}},
                       kernels::Stream::kCompute);
  }
  return {};
}

Result<std::vector<double>> begin_at(const Execution& run, Start start) {
  if (start == Start::kZero || run.previous == nullptr) {
    const auto norms = run.rows.squared_norms();
    return std::vector<double>(norms.begin(), norms.end());
  }
  const double factor = 1;
  const std::int64_t weight = 1;
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    const std::size_t begin = chunk_begin(run.plan, c);
    const auto* row = reinterpret_cast<const std::byte*>(run.previous + begin);
    const kernels::Codes codes{{Codec::kF32, 0}, chunk_length(run.plan, c), {&row, 1}, {}};
    kernels::RowSummary summary;
    run.backend.inspect({codes, run.plan.request.value_bound, {&summary, 1}},
                        kernels::Stream::kCompute);
    if (!summary.valid())
      return Status(Code::kInvalid, "previous_out_of_bound",
                    "the previous aggregate is not finite or beyond value_bound: it is of another "
                    "task, or value_bound was lowered");
    run.backend.accumulate({codes, {&factor, 1}, {&weight, 1}, run.plan.grid_bits, run.sum + begin},
                           kernels::Stream::kCompute);
  }
  std::vector<double> squared_distances(run.rows.n());
  MUSTER_TRY(measure(run, std::ldexp(1.0, -run.plan.grid_bits), squared_distances));
  return squared_distances;
}

}  // namespace muster::robust
