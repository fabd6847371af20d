#include "tests/conformance/reference.h"

#include <algorithm>
#include <cmath>

#include "kernels/canonical.h"

namespace muster::kernels::conformance {
namespace {

using Wide = __int128;

bool integer_codes(const HostCohort& cohort) {
  return cohort.format.codec == Codec::kI8B || cohort.format.codec == Codec::kI8S;
}

/// term(k) summed over [begin, end) in the order of kernels/canonical.h for float codecs.
template <class Term>
double lane_sum(std::size_t begin, std::size_t end, const Term& term) {
  std::vector<double> lanes(canonical::kLanes, 0.0);
  for (std::size_t k = begin; k < end; ++k) lanes[(k - begin) % canonical::kLanes] += term(k);
  while (lanes.size() > 1) {
    const std::size_t half = lanes.size() / 2;
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    lanes.resize(half);
  }
  return lanes[0];
}

/// The same for integer codecs: code_term(k) summed exactly over runs of one scale, times scale(k).
template <class CodeTerm, class Scale>
double run_sum(const HostCohort& cohort, std::size_t begin, std::size_t end,
               const CodeTerm& code_term, const Scale& scale) {
  double total = 0;
  for (std::size_t k = begin; k < end;) {
    const std::size_t run = k;
    std::int64_t sum = 0;
    for (; k < end && k >> cohort.format.log2_block == run >> cohort.format.log2_block; ++k)
      sum += code_term(k);
    if (sum != 0) total += scale(run) * static_cast<double>(sum);
  }
  return total;
}

/// Calls block(begin, end) for the canonical blocks in order.
template <class Block>
void for_each_block(std::size_t d, const Block& block) {
  for (std::size_t begin = 0; begin < d; begin += canonical::kBlock)
    block(begin, std::min(begin + canonical::kBlock, d));
}

}  // namespace

RowSummary reference_inspect(const HostCohort& cohort, std::size_t row, float bound) {
  RowSummary summary;
  for (std::size_t k = 0; k < cohort.d; ++k) {
    const float x = cohort.value(row, k);
    if (!std::isfinite(x))
      ++summary.non_finite;
    else if (std::fabs(x) > bound)
      ++summary.out_of_bound;
  }
  for_each_block(cohort.d, [&](std::size_t begin, std::size_t end) {
    const auto finite = [&](std::size_t k) { return std::isfinite(cohort.value(row, k)); };
    if (integer_codes(cohort)) {
      summary.squared_norm += run_sum(
          cohort, begin, end,
          [&](std::size_t k) { return finite(k) ? cohort.code(row, k) * cohort.code(row, k) : 0; },
          [&](std::size_t k) { return std::pow(static_cast<double>(cohort.scale(row, k)), 2); });
    } else {
      summary.squared_norm += lane_sum(begin, end, [&](std::size_t k) {
        return finite(k) ? cohort.exact(row, k) * cohort.exact(row, k) : 0.0;
      });
    }
  });
  return summary;
}

std::int64_t reference_grid(float x, double factor, int grid_bits) {
  if (!std::isfinite(x)) return 0;
  const double product = factor * static_cast<double>(x);
  return static_cast<std::int64_t>(std::nearbyint(std::ldexp(product, grid_bits)));
}

std::vector<std::int64_t> reference_accumulate(const HostCohort& cohort,
                                               std::span<const double> factors,
                                               std::span<const std::int64_t> weights,
                                               int grid_bits) {
  std::vector<std::int64_t> sums(cohort.d);
  for (std::size_t k = 0; k < cohort.d; ++k) {
    Wide sum = 0;
    for (std::size_t i = 0; i < cohort.n(); ++i)
      sum += Wide{weights[i]} * reference_grid(cohort.value(i, k), factors[i], grid_bits);
    sums[k] = static_cast<std::int64_t>(sum);
  }
  return sums;
}

Columns reference_columns(const HostCohort& cohort) {
  Columns columns(cohort.d, std::vector<float>(cohort.n()));
  for (std::size_t k = 0; k < cohort.d; ++k) {
    for (std::size_t i = 0; i < cohort.n(); ++i) columns[k][i] = cohort.value(i, k);
    std::sort(columns[k].begin(), columns[k].end());
  }
  return columns;
}

std::vector<std::int64_t> reference_kept_sum(const Columns& columns, std::uint32_t low,
                                             std::uint32_t high, int grid_bits) {
  std::vector<std::int64_t> sums;
  for (const std::vector<float>& column : columns) {
    Wide sum = 0;
    for (std::size_t i = low; i < column.size() - high; ++i)
      sum += reference_grid(column[i], 1, grid_bits);
    sums.push_back(static_cast<std::int64_t>(sum));
  }
  return sums;
}

void reference_gram(const HostCohort& cohort, std::span<const float> centre,
                    std::span<double> gram) {
  const auto centred = [&](std::size_t i, std::size_t k) {
    return centre.empty() ? cohort.exact(i, k)
                          : cohort.exact(i, k) - static_cast<double>(centre[k]);
  };
  // Decoding is slow here, and every row is needed n times.
  std::vector<std::vector<double>> rows(cohort.n(), std::vector<double>(cohort.d));
  for (std::size_t i = 0; i < cohort.n(); ++i)
    for (std::size_t k = 0; k < cohort.d; ++k)
      rows[i][k] = integer_codes(cohort) && centre.empty() ? cohort.code(i, k) : centred(i, k);
  for (std::size_t i = 0; i < cohort.n(); ++i)
    for (std::size_t j = i; j < cohort.n(); ++j)
      for_each_block(cohort.d, [&](std::size_t begin, std::size_t end) {
        double sum;
        if (integer_codes(cohort) && centre.empty()) {
          sum = run_sum(
              cohort, begin, end,
              [&](std::size_t k) { return static_cast<std::int64_t>(rows[i][k] * rows[j][k]); },
              [&](std::size_t k) {
                return static_cast<double>(cohort.scale(i, k)) *
                       static_cast<double>(cohort.scale(j, k));
              });
        } else {
          sum = lane_sum(begin, end, [&](std::size_t k) { return rows[i][k] * rows[j][k]; });
        }
        gram[i * cohort.n() + j] += sum;
        if (i != j) gram[j * cohort.n() + i] = gram[i * cohort.n() + j];
      });
}

void reference_distance(const HostCohort& cohort, std::size_t i, std::size_t j, double& sum) {
  for_each_block(cohort.d, [&](std::size_t begin, std::size_t end) {
    sum += lane_sum(begin, end, [&](std::size_t k) {
      const double difference = cohort.exact(i, k) - cohort.exact(j, k);
      return difference * difference;
    });
  });
}

void reference_sketch(const HostCohort& cohort, std::size_t row,
                      std::span<const std::uint64_t> signs, std::span<const std::uint32_t> places,
                      int unit_bits, std::span<std::int64_t> cells) {
  for (std::size_t k = 0; k < cohort.d; ++k) {
    const std::int64_t value = reference_grid(cohort.value(row, k), 1, unit_bits);
    const bool minus = (signs[k / 64] >> (k % 64)) % 2 == 1;
    cells[places[k / 64] + k % 64] += minus ? -value : value;
  }
}

void reference_step(const StepJob& job, std::span<const std::int64_t> sum, std::span<float> model,
                    std::span<float> first, std::span<float> second) {
  for (std::size_t k = 0; k < sum.size(); ++k) {
    const double delta = static_cast<double>(sum[k]) * job.scale;
    double move = delta;
    if (job.optimiser == Optimiser::kMomentum) {
      move = job.beta1 * static_cast<double>(first[k]) + delta;
      first[k] = static_cast<float>(move);
    } else if (job.optimiser == Optimiser::kAdam) {
      move = job.beta1 * static_cast<double>(first[k]) + (1 - job.beta1) * delta;
      const double square =
          job.beta2 * static_cast<double>(second[k]) + (1 - job.beta2) * (delta * delta);
      first[k] = static_cast<float>(move);
      second[k] = static_cast<float>(square);
      model[k] = static_cast<float>(static_cast<double>(model[k]) +
                                    job.learning_rate * move / (std::sqrt(square) + job.epsilon));
      continue;
    }
    model[k] = static_cast<float>(static_cast<double>(model[k]) + job.learning_rate * move);
  }
}

}  // namespace muster::kernels::conformance
