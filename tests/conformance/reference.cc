#include "tests/conformance/reference.h"

#include <algorithm>
#include <cmath>

#include "kernels/canonical.h"

namespace muster::kernels::conformance {
namespace {

using Wide = __int128;

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
    if (cohort.integer()) {
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

namespace {

/// numerator / divisor to the nearest, ties to even; divisor > 0.
Wide nearest_even(Wide numerator, Wide divisor) {
  Wide floor = numerator / divisor;
  if (floor * divisor > numerator) --floor;
  const Wide twice = 2 * (numerator - floor * divisor);
  if (twice > divisor || (twice == divisor && floor % 2 != 0)) ++floor;
  return floor;
}

std::vector<Wide> reference_mix(const MixStage& stage, const std::vector<Wide>& column) {
  std::vector<Wide> mixed;
  for (std::size_t row = 0; row < stage.n(); ++row) {
    const auto listed =
        stage.members.subspan(stage.bounds[row], stage.bounds[row + 1] - stage.bounds[row]);
    Wide sum = 0, count = 0;
    for (std::uint32_t i = 0; i < column.size(); ++i)
      if ((std::find(listed.begin(), listed.end(), i) != listed.end()) != stage.except)
        sum += column[i], ++count;
    mixed.push_back(nearest_even(sum, count));
  }
  return mixed;
}

}  // namespace

std::vector<std::int64_t> reference_window_sum(const HostCohort& cohort, const WindowSumJob& job) {
  std::vector<std::int64_t> sums;
  for (std::size_t k = 0; k < cohort.d; ++k) {
    std::vector<Wide> column;
    for (std::size_t i = 0; i < cohort.n(); ++i)
      column.push_back(reference_grid(cohort.value(i, k), job.factors.empty() ? 1 : job.factors[i],
                                      job.grid_bits));
    for (const MixStage& stage : job.stages) column = reference_mix(stage, column);
    std::sort(column.begin(), column.end());
    Wide centre = 0, count = 0;
    for (std::size_t i = job.low; i + job.high < column.size(); ++i) centre += column[i], ++count;
    if (job.keep == 0) {
      sums.push_back(static_cast<std::int64_t>(centre));
      continue;
    }
    std::vector<Wide> distances;
    for (const Wide v : column)
      distances.push_back(v * count > centre ? v * count - centre : centre - v * count);
    std::vector<Wide> sorted = distances;
    std::sort(sorted.begin(), sorted.end());
    const Wide reach = sorted[job.keep - 1];
    Wide near = 0, places = job.keep, tied = 0, ties = 0;
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (distances[i] < reach) near += column[i], --places;
      if (distances[i] == reach) tied += column[i], ++ties;
    }
    sums.push_back(static_cast<std::int64_t>(near + nearest_even(places * tied, ties)));
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
      rows[i][k] = cohort.integer() && centre.empty() ? cohort.code(i, k) : centred(i, k);
  for (std::size_t i = 0; i < cohort.n(); ++i)
    for (std::size_t j = i; j < cohort.n(); ++j)
      for_each_block(cohort.d, [&](std::size_t begin, std::size_t end) {
        double sum;
        if (cohort.integer() && centre.empty()) {
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

void reference_estimate(const HostCohort& cohort, std::span<const float> centre,
                        std::span<double> gram) {
  const std::size_t n = cohort.n();
  std::vector<std::vector<float>> rows(n, std::vector<float>(cohort.d));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < cohort.d; ++k)
      rows[i][k] = cohort.value(i, k) - (centre.empty() ? 0 : centre[k]);
  for (std::size_t begin = 0; begin < cohort.d; begin += canonical::kEstimateDepth) {
    const std::size_t end = std::min(begin + canonical::kEstimateDepth, cohort.d);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        float sum = 0;
        for (std::size_t chain = begin; chain < end; chain += canonical::kEstimateChain) {
          float products = 0;
          for (std::size_t k = chain; k < std::min(chain + canonical::kEstimateChain, end); ++k)
            products = std::fma(rows[i][k], rows[j][k], products);
          sum += products;
        }
        gram[i * n + j] +=
            i != j ? static_cast<double>(sum) : lane_sum(begin, end, [&](std::size_t k) {
              return static_cast<double>(rows[i][k]) * static_cast<double>(rows[i][k]);
            });
      }
  }
}

void reference_distance(const HostCohort& cohort, std::size_t i, std::size_t j, double& sum) {
  for_each_block(cohort.d, [&](std::size_t begin, std::size_t end) {
    sum += lane_sum(begin, end, [&](std::size_t k) {
      const double difference = cohort.exact(i, k) - cohort.exact(j, k);
      return difference * difference;
    });
  });
}

void reference_relate(const HostCohort& cohort, std::size_t row,
                      std::span<const std::int64_t> reference, double scale, double& distance,
                      double& dot) {
  const auto other = [&](std::size_t k) { return static_cast<double>(reference[k]) * scale; };
  for_each_block(cohort.d, [&](std::size_t begin, std::size_t end) {
    distance += lane_sum(begin, end, [&](std::size_t k) {
      const double difference = cohort.exact(row, k) - other(k);
      return difference * difference;
    });
    dot += lane_sum(begin, end, [&](std::size_t k) { return cohort.exact(row, k) * other(k); });
  });
}

std::vector<std::int64_t> reference_vote(const HostCohort& cohort) {
  std::vector<std::int64_t> votes(cohort.d);
  for (std::size_t i = 0; i < cohort.n(); ++i)
    for (std::size_t k = 0; k < cohort.d; ++k) {
      const float x = cohort.value(i, k);
      if (std::isfinite(x) && x != 0) votes[k] += std::signbit(x) ? -1 : 1;
    }
  return votes;
}

std::int64_t reference_merge(std::int64_t target, std::int64_t sum, double pull, double divisor) {
  const double pulled = pull * static_cast<double>(target);
  return target +
         static_cast<std::int64_t>(std::nearbyint((static_cast<double>(sum) - pulled) / divisor));
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
    } else if (has_second_moment(job.optimiser)) {
      move = job.beta1 * static_cast<double>(first[k]) + (1 - job.beta1) * delta;
      double square = delta * delta;
      const double before = static_cast<double>(second[k]);
      if (job.optimiser == Optimiser::kAdam)
        square = job.beta2 * before + (1 - job.beta2) * square;
      else if (job.optimiser == Optimiser::kAdagrad)
        square = before + square;
      else if (before < square)
        square = before + (1 - job.beta2) * square;
      else if (before > square)
        square = before - (1 - job.beta2) * square;
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
