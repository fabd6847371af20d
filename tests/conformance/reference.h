// The truth about every operation, written for reading: one value at a time, wide integers,
// sorting. Independent of kernels/cell; only the canonical order of f64 sums is shared, as two
// constants.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/conformance/cohort.h"

namespace muster::kernels::conformance {

RowSummary reference_inspect(const HostCohort& cohort, std::size_t row, float bound);

/// round(factor * x * 2^grid_bits), 0 for non-finite x.
std::int64_t reference_grid(float x, double factor, int grid_bits);

std::vector<std::int64_t> reference_accumulate(const HostCohort& cohort,
                                               std::span<const double> factors,
                                               std::span<const std::int64_t> weights,
                                               int grid_bits);

/// Coordinate by coordinate, the values of all rows in ascending order.
using Columns = std::vector<std::vector<float>>;
Columns reference_columns(const HostCohort& cohort);
std::vector<std::int64_t> reference_kept_sum(const Columns& columns, std::uint32_t low,
                                             std::uint32_t high, int grid_bits);

/// With the job's factors, stages, cuts and window; its codes and target are ignored.
std::vector<std::int64_t> reference_window_sum(const HostCohort& cohort, const WindowSumJob& job);

/// Adds to `gram`, as the operation does. `centre` may be empty.
void reference_gram(const HostCohort& cohort, std::span<const float> centre,
                    std::span<double> gram);

/// The same for what is estimated in f32.
void reference_estimate(const HostCohort& cohort, std::span<const float> centre,
                        std::span<double> gram);

/// Adds to `sum`.
void reference_distance(const HostCohort& cohort, std::size_t i, std::size_t j, double& sum);

/// Both add.
void reference_relate(const HostCohort& cohort, std::size_t row,
                      std::span<const std::int64_t> reference, double scale, double& distance,
                      double& dot);

std::vector<std::int64_t> reference_vote(const HostCohort& cohort);

/// target + round((sum - pull * target) / divisor).
std::int64_t reference_merge(std::int64_t target, std::int64_t sum, double pull, double divisor);

/// Adds to `cells` of one row, which has as many as the job says.
void reference_sketch(const HostCohort& cohort, std::size_t row,
                      std::span<const std::uint64_t> signs, std::span<const std::uint32_t> places,
                      int unit_bits, std::span<std::int64_t> cells);

/// On host vectors; job pointers are ignored.
void reference_step(const StepJob& job, std::span<const std::int64_t> sum, std::span<float> model,
                    std::span<float> first, std::span<float> second);

}  // namespace muster::kernels::conformance
