#include "robust_agg/krum_select.h"

#include <algorithm>

#include "base/check.h"
#include "robust_agg/distances.h"

namespace muster::robust {
namespace {

/// Scores of rows the bounds could not order, from direct differences.
class DirectScores {
 public:
  DirectScores(const Execution& run, const GramDistances& distances,
               std::span<const std::uint32_t> order, std::uint32_t q)
      : run_(run), distances_(distances), order_(order), q_(q) {}

  Result<std::vector<double>> of(std::span<const std::uint32_t> rows) {
    std::vector<double> scores;
    std::size_t done = 0;
    while (done < rows.size()) {
      std::vector<std::vector<std::uint32_t>> neighbours;
      std::vector<Pair> pairs;  // of valid rows
      do {
        neighbours.push_back(possible_neighbours(distances_, rows[done], q_));
        for (const std::uint32_t j : neighbours.back()) pairs.push_back(valid_pair(rows[done], j));
        ++done;
      } while (done < rows.size() && pairs.size() + distances_.n() <= kPairsPerPass);
      std::sort(pairs.begin(), pairs.end());
      pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
      pairs_measured_ += pairs.size();
      MUSTER_ASSIGN(const std::vector<double> distances, measure_pairs(run_, pairs));
      const std::size_t first = done - neighbours.size();
      for (std::size_t k = 0; k < neighbours.size(); ++k) {
        std::vector<double> values;
        for (const std::uint32_t j : neighbours[k]) {
          const Pair pair = valid_pair(rows[first + k], j);
          const auto found = std::lower_bound(pairs.begin(), pairs.end(), pair);
          values.push_back(distances[static_cast<std::size_t>(found - pairs.begin())]);
        }
        scores.push_back(smallest_sum(values, q_));
      }
    }
    return scores;
  }

  std::size_t pairs_measured() const { return pairs_measured_; }

 private:
  Pair valid_pair(std::uint32_t i, std::uint32_t j) const { return ordered(order_[i], order_[j]); }

  const Execution& run_;
  const GramDistances& distances_;
  const std::span<const std::uint32_t> order_;
  const std::uint32_t q_;
  std::size_t pairs_measured_ = 0;
};

}  // namespace

Result<Decision> decide(const Execution& run, const GramDistances& distances,
                        const ScoreBounds& bounds, std::span<const std::uint32_t> order,
                        const KrumParameters& parameters) {
  const Verdict verdict = judge(bounds, parameters.m);
  std::vector<double> scores;
  DirectScores direct(run, distances, order, parameters.q);
  if (distances.exact()) {
    for (const std::uint32_t row : verdict.contenders) scores.push_back(bounds.least[row]);
  } else {
    MUSTER_ASSIGN(scores, direct.of(verdict.contenders));
  }
  struct Contender {
    double score;
    std::uint64_t rank;
    std::uint32_t row;
    auto operator<=>(const Contender&) const = default;
  };
  std::vector<Contender> contenders;
  for (std::size_t k = 0; k < scores.size(); ++k) {
    const std::uint32_t row = order[verdict.contenders[k]];
    contenders.push_back({scores[k], run.rows.rank(row), row});
  }
  MUSTER_CHECK_OP(std::size_t{verdict.open}, <=, contenders.size());
  std::sort(contenders.begin(), contenders.end());
  Decision decision;
  for (const std::uint32_t row : verdict.selected) decision.rows.push_back(order[row]);
  for (std::uint32_t k = 0; k < verdict.open; ++k) decision.rows.push_back(contenders[k].row);
  std::sort(decision.rows.begin(), decision.rows.end());
  decision.pairs_measured = direct.pairs_measured();
  return decision;
}

std::size_t pairs_to_measure(const GramDistances& distances, const ScoreBounds& bounds,
                             const KrumParameters& parameters) {
  if (distances.exact()) return 0;
  std::size_t pairs = 0;
  for (const std::uint32_t row : judge(bounds, parameters.m).contenders)
    pairs += possible_neighbours(distances, row, parameters.q).size();
  return pairs;
}

}  // namespace muster::robust
