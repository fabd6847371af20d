// Krum and Multi-Krum: one pass for the Gram matrix, a certified selection, one pass to combine.

#include <algorithm>

#include "base/check.h"
#include "robust_agg/coefficients.h"
#include "robust_agg/distances.h"
#include "robust_agg/select.h"

namespace muster::robust {

KrumParameters krum_parameters(const Rule& rule, std::uint32_t n, std::uint32_t f) {
  const auto* multi = std::get_if<MultiKrum>(&rule);
  const Neighbours neighbours = multi ? multi->neighbours : std::get<Krum>(rule).neighbours;
  const std::uint32_t q = n - f - (neighbours == Neighbours::kNMinusFMinus2 ? 2 : 1);
  if (multi == nullptr) return {1, q};
  return {multi->m == 0 ? n - f - 2 : multi->m, q};
}

namespace {

/// Scores of rows the bounds could not order, from direct differences.
class DirectScores {
 public:
  DirectScores(const Execution& run, const GramDistances& distances, std::uint32_t q)
      : run_(run), distances_(distances), q_(q) {}

  Result<std::vector<double>> of(std::span<const std::uint32_t> rows) {
    std::vector<double> scores;
    std::size_t done = 0;
    while (done < rows.size()) {
      std::vector<std::vector<std::uint32_t>> neighbours;
      std::vector<Pair> pairs;
      do {
        neighbours.push_back(possible_neighbours(distances_, rows[done], q_));
        for (const std::uint32_t j : neighbours.back()) pairs.push_back(ordered(rows[done], j));
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
          const Pair pair = ordered(rows[first + k], j);
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
  const Execution& run_;
  const GramDistances& distances_;
  const std::uint32_t q_;
  std::size_t pairs_measured_ = 0;
};

struct Selection {
  std::vector<std::uint32_t> rows;  ///< ascending
  std::size_t pairs_measured = 0;
};

/// The m rows of least (score, rank). The scores are those of direct differences; the Gram matrix
/// only spares computing the ones that cannot matter.
Result<Selection> select(const Execution& run, const KrumParameters& parameters) {
  MUSTER_ASSIGN(const Gram gram, gram_of(run));
  const GramDistances distances(gram.values, run.rows.n(), relative_error(run, gram));
  const ScoreBounds bounds = score_bounds(distances, parameters.q);
  Verdict verdict = judge(bounds, parameters.m);

  std::vector<double> scores;
  DirectScores direct(run, distances, parameters.q);
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
  for (std::size_t k = 0; k < scores.size(); ++k)
    contenders.push_back({scores[k], run.rows.rank(verdict.contenders[k]), verdict.contenders[k]});
  MUSTER_CHECK_OP(std::size_t{verdict.open}, <=, contenders.size());
  std::sort(contenders.begin(), contenders.end());
  for (std::uint32_t k = 0; k < verdict.open; ++k) verdict.selected.push_back(contenders[k].row);
  std::sort(verdict.selected.begin(), verdict.selected.end());
  return Selection{std::move(verdict.selected), direct.pairs_measured()};
}

}  // namespace

Status average_rows(const Execution& run, std::span<const std::uint32_t> rows, Outcome& outcome) {
  MUSTER_TRY(add_rows(run, rows));
  outcome.divisor = static_cast<double>(rows.size());
  for (const std::uint32_t row : rows) outcome.selected.push_back(run.rows.positions()[row]);
  return {};
}

Status average_selected(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  const KrumParameters parameters = krum_parameters(run.plan.request.rule, n, run.f);
  MUSTER_ASSIGN(const Selection selection, select(run, parameters));
  MUSTER_TRY(average_rows(run, selection.rows, outcome));
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(parameters.m) +
                   " selected by " + std::to_string(parameters.q) + " neighbours, " +
                   std::to_string(selection.pairs_measured) + " of " +
                   std::to_string(std::uint64_t{n} * (n - 1) / 2) + " distances measured again";
  return {};
}

}  // namespace muster::robust
