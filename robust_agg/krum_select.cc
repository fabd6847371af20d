#include "robust_agg/krum_select.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/check.h"

namespace muster::robust {
namespace {

/// Pairs whose distances are recomputed in one pass over the cohort: 24 MiB of host memory.
constexpr std::size_t kPairsPerPass = std::size_t{1} << 20;
/// Pairs of one job, for a backend keeps a partial sum a pair and block of coordinates.
constexpr std::size_t kPairsPerJob = std::size_t{1} << 14;
/// Rows whose median is the centre. Odd; a sample an attacker drags costs time, never exactness.
constexpr std::size_t kCentreRows = 15;

struct Pair {
  std::uint32_t i, j;
  auto operator<=>(const Pair&) const = default;
};
Pair ordered(std::uint32_t i, std::uint32_t j) { return {std::min(i, j), std::max(i, j)}; }

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
      MUSTER_ASSIGN(const kernels::Codes codes, run_.rows.chunk(c, order_));
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
  const std::span<const std::uint32_t> order_;
  const std::uint32_t q_;
  std::size_t pairs_measured_ = 0;
};

/// The centre of one chunk at a time, in backend memory.
class Centre {
 public:
  static Result<Centre> create(const Execution& run) {
    const std::size_t d =
        std::min<std::size_t>(run.plan.request.chunk_coordinates, run.plan.request.dimension);
    MUSTER_ASSIGN(ScopedBuffer sum, ScopedBuffer::allocate(run.backend, d * sizeof(std::int64_t)));
    MUSTER_ASSIGN(ScopedBuffer values, ScopedBuffer::allocate(run.backend, d * sizeof(float)));
    Centre centre(std::move(sum), std::move(values));
    // Those of least rank: no device knows the ranks of a round.
    std::vector<std::pair<std::uint64_t, std::uint32_t>> ranks;
    for (std::uint32_t i = 0; i < run.rows.n(); ++i) ranks.emplace_back(run.rows.rank(i), i);
    std::sort(ranks.begin(), ranks.end());
    const std::size_t count = std::min(kCentreRows, (ranks.size() - 1) / 2 * 2 + 1);
    for (std::size_t k = 0; k < count; ++k) centre.sample_.push_back(ranks[k].second);
    return centre;
  }

  /// The median of the sample; valid until the next call.
  Result<const float*> of_chunk(const Execution& run, std::uint32_t index) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(index, sample_));
    const auto cut = static_cast<std::uint32_t>((sample_.size() - 1) / 2);
    run.backend.kept_sum({codes, cut, cut, run.plan.grid_bits, sum_.as<std::int64_t>()},
                         kernels::Stream::kCompute);
    run.backend.fill_zero(values_.data(), codes.d * sizeof(float), kernels::Stream::kCompute);
    kernels::StepJob to_floats;  // values = 0 + 1 * sum * 2^-g
    to_floats.sum = sum_.as<std::int64_t>();
    to_floats.scale = std::ldexp(1.0, -run.plan.grid_bits);
    to_floats.model = values_.as<float>();
    to_floats.d = codes.d;
    run.backend.step(to_floats, kernels::Stream::kCompute);
    finish_jobs(run.backend);
    return values_.as<const float>();
  }

 private:
  Centre(ScopedBuffer sum, ScopedBuffer values)
      : sum_(std::move(sum)), values_(std::move(values)) {}

  ScopedBuffer sum_, values_;
  std::vector<std::uint32_t> sample_;
};

}  // namespace

HostMatrix host_matrix(kernels::Backend& backend, ScopedBuffer buffer, std::size_t count) {
  HostMatrix matrix{std::move(buffer), {}, {}};
  if (backend.host_visible()) {
    finish_jobs(backend);
    matrix.values = {matrix.buffer.as<const double>(), count};
  } else {
    matrix.copy.resize(count);
    backend.download(std::as_writable_bytes(std::span(matrix.copy)), matrix.buffer.data(),
                     kernels::Stream::kCompute);
    matrix.values = matrix.copy;
  }
  return matrix;
}

Result<Gram> gram_of(const Execution& run, std::span<const std::uint32_t> order, std::uint32_t rows,
                     bool centred) {
  const std::size_t n = order.size(), count = rows * n;
  MUSTER_ASSIGN(ScopedBuffer buffer, ScopedBuffer::allocate(run.backend, count * sizeof(double)));
  std::optional<Centre> centre;
  if (centred) {
    MUSTER_ASSIGN(Centre made, Centre::create(run));
    centre.emplace(std::move(made));
  }
  std::optional<int> least_exponent;
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    const float* origin = nullptr;
    if (centre) {
      MUSTER_ASSIGN(origin, centre->of_chunk(run, c));
    }
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c, order));
    for (const int exponent : codes.scale_exponents)
      least_exponent = std::min(least_exponent.value_or(exponent), exponent);
    run.backend.gram({codes, origin, buffer.as<double>(), rows}, kernels::Stream::kCompute);
    finish_jobs(run.backend);
  }
  return Gram{host_matrix(run.backend, std::move(buffer), count), least_exponent};
}

double relative_error(const Execution& run, const Gram& gram,
                      std::span<const double> squared_norms) {
  if (gram.least_exponent) {
    // Everything is a multiple of the squared least scale; below 2^53 of those nothing is rounded.
    const double largest = *std::max_element(squared_norms.begin(), squared_norms.end());
    if (4 * largest < std::ldexp(1.0, 53 + 2 * *gram.least_exponent)) return 0;
  }
  // Both err by at most (additions in a row) * 2^-53 * (|x_i| + |x_j|)^2, which is at most twice
  // G_ii + G_jj. A backend adds at most 4096 coordinates by themselves, in some order, and then
  // those sums (kernels/canonical.h); the last term covers the roundings of differences from a
  // centre, products, scales and norms.
  constexpr std::uint64_t kBlock = 4096;
  const std::uint64_t blocks_of_chunk =
      divide_up<std::uint64_t>(run.plan.request.chunk_coordinates, kBlock);
  const double additions =
      static_cast<double>(kBlock + blocks_of_chunk * run.plan.chunk_count + 16);
  return 4 * additions * 0x1p-53;
}

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
