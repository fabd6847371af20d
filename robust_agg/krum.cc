// Krum and Multi-Krum: one pass for the Gram matrix, a certified selection, one pass to combine.

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/bytes.h"
#include "base/check.h"
#include "robust_agg/buffer.h"
#include "robust_agg/execution.h"
#include "robust_agg/select.h"

namespace muster::robust {
namespace {

/// Pairs whose distances are recomputed in one pass over the cohort: 24 MiB of host memory.
constexpr std::size_t kPairsPerPass = std::size_t{1} << 20;
/// Pairs of one job, for a backend keeps a partial sum a pair and block of coordinates.
constexpr std::size_t kPairsPerJob = std::size_t{1} << 14;

struct Parameters {
  std::uint32_t m;
  std::uint32_t q;
};

Parameters parameters_of(const Rule& rule, std::uint32_t n, std::uint32_t f) {
  const auto* multi = std::get_if<MultiKrum>(&rule);
  const Neighbours neighbours = multi ? multi->neighbours : std::get<Krum>(rule).neighbours;
  const std::uint32_t q = n - f - (neighbours == Neighbours::kNMinusFMinus2 ? 2 : 1);
  if (multi == nullptr) return {1, q};
  return {multi->m == 0 ? n - f - 2 : multi->m, q};
}

/// The Gram matrix of the valid rows, readable by the host.
struct Gram {
  ScopedBuffer buffer;
  std::vector<double> copy;  ///< where the host cannot read the buffer
  std::span<const double> values;
  std::optional<int> least_exponent;  ///< I8S: of the scales met
};

Result<Gram> gram_of(const Execution& run) {
  const std::size_t n = run.rows.n();
  MUSTER_ASSIGN(ScopedBuffer buffer, ScopedBuffer::allocate(run.backend, n * n * sizeof(double)));
  Gram gram{std::move(buffer), {}, {}, {}};
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    for (const int exponent : codes.scale_exponents)
      gram.least_exponent = std::min(gram.least_exponent.value_or(exponent), exponent);
    run.backend.gram({codes, nullptr, gram.buffer.as<double>()}, kernels::Stream::kCompute);
    finish_jobs(run.backend);
  }
  if (run.backend.host_visible()) {
    gram.values = {gram.buffer.as<const double>(), n * n};
  } else {
    gram.copy.resize(n * n);
    run.backend.download(std::as_writable_bytes(std::span(gram.copy)), gram.buffer.data(),
                         kernels::Stream::kCompute);
    gram.values = gram.copy;
  }
  return gram;
}

/// E / (G_ii + G_jj) for any pair: how far the Gram distance and the one pair_distances() would
/// return can be apart. Both err by at most (additions in a row) * 2^-53 * (|x_i| + |x_j|)^2, which
/// is at most twice G_ii + G_jj.
double relative_error(const Execution& run, const Gram& gram) {
  const std::size_t n = run.rows.n();
  if (gram.least_exponent) {
    // Everything is a multiple of the squared least scale; below 2^53 of those nothing is rounded.
    double largest = 0;
    for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, gram.values[i * n + i]);
    if (4 * largest < std::ldexp(1.0, 53 + 2 * *gram.least_exponent)) return 0;
  }
  // A backend adds at most 4096 coordinates by themselves, in some order, and then those sums
  // (kernels/canonical.h); the last term covers the roundings of products, scales and norms.
  constexpr std::uint64_t kBlock = 4096;
  const std::uint64_t blocks_of_chunk = divide_up<std::uint64_t>(run.plan.rule_chunk, kBlock);
  const double additions =
      static_cast<double>(kBlock + blocks_of_chunk * run.plan.chunk_count + 16);
  return 4 * additions * 0x1p-53;
}

struct Pair {
  std::uint32_t i, j;
  auto operator<=>(const Pair&) const = default;
};
Pair ordered(std::uint32_t i, std::uint32_t j) { return {std::min(i, j), std::max(i, j)}; }

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
      MUSTER_ASSIGN(const std::vector<double> distances, measure(pairs));
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
  Result<std::vector<double>> measure(std::span<const Pair> pairs) {
    pairs_measured_ += pairs.size();
    std::vector<std::uint32_t> flat;
    flat.reserve(2 * pairs.size());
    for (const Pair& pair : pairs) flat.insert(flat.end(), {pair.i, pair.j});
    std::vector<double> distances(pairs.size());
    for (std::uint32_t c = 0; c < run_.plan.chunk_count; ++c) {
      MUSTER_ASSIGN(const kernels::Codes codes, run_.rows.chunk(c));
      for (std::size_t first = 0; first < pairs.size(); first += kPairsPerJob) {
        const std::size_t count = std::min(kPairsPerJob, pairs.size() - first);
        run_.backend.pair_distances({codes, std::span(flat).subspan(2 * first, 2 * count),
                                     std::span(distances).subspan(first, count)},
                                    kernels::Stream::kCompute);
      }
    }
    return distances;
  }

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
Result<Selection> select(const Execution& run, const Parameters& parameters) {
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

Status average_selected(const Execution& run, Outcome& outcome) {
  const std::uint32_t n = run.rows.n();
  const Parameters parameters = parameters_of(run.plan.request.rule, n, run.f);
  MUSTER_ASSIGN(const Selection selection, select(run, parameters));
  const std::vector<double> factors(parameters.m, 1.0);
  const std::vector<std::int64_t> weights(parameters.m, 1);
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, selection.rows));
    run.backend.accumulate(
        {codes, factors, weights, run.plan.grid_bits, run.sum + chunk_begin(run.plan, c)},
        kernels::Stream::kCompute);
    finish_jobs(run.backend);
  }
  outcome.divisor = parameters.m;
  for (const std::uint32_t row : selection.rows)
    outcome.selected.push_back(run.rows.positions()[row]);
  outcome.chosen = to_string(run.plan.request.rule) + " of " + std::to_string(n) +
                   " updates, f=" + std::to_string(run.f) + ", " + std::to_string(parameters.m) +
                   " selected by " + std::to_string(parameters.q) + " neighbours, " +
                   std::to_string(selection.pairs_measured) + " of " +
                   std::to_string(std::uint64_t{n} * (n - 1) / 2) + " distances measured again";
  return {};
}

}  // namespace muster::robust
