// Krum from its definition, in long double, for comparison.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/robust_agg/encode.h"

namespace muster::robust::testing {

/// Scores of all rows; `power` 2 is the paper's, 1 and 4 are those of other libraries.
inline std::vector<long double> krum_scores(const Rows& rows, std::size_t q, int power = 2) {
  std::vector<long double> scores;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<long double> distances;
    for (std::size_t j = 0; j < rows.size(); ++j) {
      if (j == i) continue;
      long double squared = 0;
      for (std::size_t k = 0; k < rows[i].size(); ++k) {
        const long double difference = static_cast<float>(rows[i][k]) -
                                       static_cast<long double>(static_cast<float>(rows[j][k]));
        squared += difference * difference;
      }
      distances.push_back(power == 2 ? squared : std::pow(squared, power / 2.0L));
    }
    std::sort(distances.begin(), distances.end());
    scores.push_back(std::accumulate(distances.begin(),
                                     distances.begin() + static_cast<std::ptrdiff_t>(q), 0.0L));
  }
  return scores;
}

/// The m rows of least (score, index), ascending.
inline std::vector<std::uint32_t> best_rows(const std::vector<long double>& scores, std::size_t m) {
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return scores[a] < scores[b]; });
  order.resize(m);
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace muster::robust::testing
