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

/// The rule from the origin of the cloud, or from its mean, every row weighing 1. The coefficients
/// add up to 1.
std::vector<double> geometric_median_coefficients(const Cloud& cloud, const GeometricMedian& rule);

/// The rule from the origin of the cloud, every row weighing 1. What the coefficients lack to 1
/// stays at the origin.
std::vector<double> centred_clipping_coefficients(const Cloud& cloud, const CentredClipping& rule);

}  // namespace muster::robust
