// Rules that are a function of distances alone, as coefficients of the rows of a cloud: what runs
// behind pre-steps without a second pass over the updates; inside this room only.
#pragma once

#include <cstdint>
#include <vector>

#include "robust_agg/cloud.h"
#include "robust_agg/rule.h"

namespace muster::robust {

/// How many rows a rule of the Krum family takes, by scores over how many neighbours.
struct KrumParameters {
  std::uint32_t m;
  std::uint32_t q;
};
KrumParameters krum_parameters(const Rule& rule, std::uint32_t n, std::uint32_t f);

/// The m rows of least (score, index), ascending.
std::vector<std::uint32_t> krum_rows(const Cloud& cloud, const KrumParameters& parameters);

/// Smoothed Weiszfeld from the origin (Pillutla et al. 2022): z = sum b_i x_i / sum b_i with
/// b_i = 1 / max(smoothing, |z - x_i|), at most `iterations` times, until a step lowers the sum of
/// distances by less than the share `tolerance`. The coefficients add up to 1.
std::vector<double> geometric_median_coefficients(const Cloud& cloud, double smoothing,
                                                  std::uint32_t iterations, double tolerance);

/// Centred clipping from the origin (Karimireddy et al. 2021): v += (1 / n) sum (x_i - v)
/// min(1, tau / |x_i - v|), `iterations` times. What the coefficients lack to 1 stays at the
/// origin.
std::vector<double> centred_clipping_coefficients(const Cloud& cloud, double tau,
                                                  std::uint32_t iterations);

}  // namespace muster::robust
