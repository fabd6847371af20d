// Rules that choose by norms (CGE) or by a trusted update (MoNNA, FLTrust).
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "robust_agg/buffer.h"
#include "robust_agg/execution.h"

namespace muster::robust {
namespace {

/// Pairs of one job, for a backend keeps a partial sum a pair and block of coordinates.
constexpr std::size_t kPairsPerJob = std::size_t{1} << 14;

Status average(const Execution& run, std::span<const std::uint32_t> rows, const std::string& what,
               Outcome& outcome) {
  MUSTER_TRY(add_rows(run, rows));
  outcome.divisor = static_cast<double>(rows.size());
  for (const std::uint32_t row : rows) outcome.selected.add(run.rows.positions()[row]);
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(run.rows.n()) +
                   " updates, f=" + std::to_string(run.f) + ", the " + std::to_string(rows.size()) +
                   " " + what + " averaged";
  return {};
}

/// <x_i, g> of all rows with g the trusted row, which is brought to a grid 2^60 times finer than
/// its norm: no coordinate that matters loses a bit.
Result<std::vector<double>> trusted_products(const Execution& run, std::uint32_t trusted,
                                             double norm) {
  const int bits = 60 - std::ilogb(norm);
  MUSTER_ASSIGN(
      const ScopedBuffer buffer,
      ScopedBuffer::allocate(run.backend, chunk_length(run.plan, 0) * sizeof(std::int64_t)));
  std::vector<double> products(run.rows.n());
  const double factor = 1;
  const std::int64_t weight = 1;
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    kernels::Codes reference = codes;
    reference.rows = codes.rows.subspan(trusted, 1);
    run.backend.fill_zero(buffer.data(), codes.d * sizeof(std::int64_t), kernels::Stream::kCompute);
    run.backend.accumulate({reference, {&factor, 1}, {&weight, 1}, bits, buffer.as<std::int64_t>()},
                           kernels::Stream::kCompute);
    run.backend.relate({codes, buffer.as<std::int64_t>(), std::ldexp(1.0, -bits), {}, products},
                       kernels::Stream::kCompute);
  }
  return products;
}

}  // namespace

Status average_least_norms(const Execution& run, Outcome& outcome) {
  const std::vector<std::uint32_t> rows =
      least_rows(run.rows, run.rows.squared_norms(), run.rows.n() - run.f);
  return average(run, rows, "of least norm", outcome);
}

Status average_nearest_trusted(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  MUSTER_ASSIGN(const std::uint32_t trusted, run.rows.trusted());
  std::vector<std::uint32_t> pairs;
  for (std::uint32_t i = 0; i < n; ++i) pairs.insert(pairs.end(), {trusted, i});
  std::vector<double> distances(n);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    for (std::size_t first = 0; first < n; first += kPairsPerJob) {
      const std::size_t count = std::min<std::size_t>(kPairsPerJob, n - first);
      run.backend.pair_distances({codes, std::span(pairs).subspan(2 * first, 2 * count),
                                  std::span(distances).subspan(first, count)},
                                 kernels::Stream::kCompute);
    }
  }
  distances[trusted] = -1;  // before its duplicates, whatever their rank
  return average(run, least_rows(run.rows, distances, n - run.f), "nearest to the trusted one",
                 outcome);
}

Status average_by_trust(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  MUSTER_ASSIGN(const std::uint32_t trusted, run.rows.trusted());
  const double norm = std::sqrt(run.rows.squared_norms()[trusted]);
  std::vector<double> scores(n);
  if (norm > 0) {
    MUSTER_ASSIGN(const std::vector<double> products, trusted_products(run, trusted, norm));
    for (std::uint32_t i = 0; i < n; ++i) {
      const double length = std::sqrt(run.rows.squared_norms()[i]);
      if (i != trusted && length > 0)
        scores[i] = std::clamp(products[i] / (length * norm), 0.0, 1.0);
    }
  }
  const auto believed = std::count_if(scores.begin(), scores.end(), [](double s) { return s > 0; });
  const double total = order_free_sum(scores);
  outcome.divisor = 1;
  if (total > 0) {
    // An update brought to the trusted norm may leave value_bound, for which the grid was made:
    // then all are added in units of a power of two.
    int shift = 0;
    std::frexp(norm / static_cast<double>(run.plan.request.value_bound), &shift);
    shift = std::max(shift, 0);
    std::vector<double> factors(n);
    for (std::uint32_t i = 0; i < n; ++i)
      if (scores[i] > 0)
        factors[i] = std::ldexp(scores[i] * norm / std::sqrt(run.rows.squared_norms()[i]), -shift);
    MUSTER_TRY(add_rows(run, factors));
    outcome.divisor = std::ldexp(total, -shift);
  }
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, the trusted one among them, " + std::to_string(believed) +
                   " with a positive score" + (total > 0 ? "" : ": the zero vector");
  return {};
}

}  // namespace muster::robust
