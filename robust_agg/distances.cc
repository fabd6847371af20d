#include "robust_agg/distances.h"

#include <cmath>

#include "base/bytes.h"
#include "base/check.h"
#include "robust_agg/centre.h"

namespace muster::robust {
namespace {

/// Pairs of one job, for a backend keeps a partial sum a pair and block of coordinates.
constexpr std::size_t kPairsPerJob = std::size_t{1} << 14;

/// Coordinates a backend adds by themselves (kernels/canonical.h).
constexpr std::uint64_t kCanonicalBlock = 4096;

/// What a pass over all chunks makes of them.
enum class Products : std::uint8_t { kCanonical, kEstimated };

Result<Gram> gram_of_chunks(const Execution& run, std::span<const std::uint32_t> order,
                            std::size_t n, std::uint32_t rows, Origin origin,
                            Products products = Products::kCanonical) {
  const std::size_t count = rows * n;
  MUSTER_ASSIGN(ScopedBuffer buffer, ScopedBuffer::allocate(run.backend, count * sizeof(double)));
  std::optional<Centre> centre;
  if (origin == Origin::kCentre) {
    MUSTER_ASSIGN(Centre made, Centre::create(run));
    centre.emplace(std::move(made));
  }
  std::optional<int> least_exponent;
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    const float* around = nullptr;
    if (centre) {
      MUSTER_ASSIGN(around, centre->of_chunk(run, c));
    }
    MUSTER_ASSIGN(const kernels::Codes codes,
                  order.empty() ? run.rows.chunk(c) : run.rows.chunk(c, order));
    for (const int exponent : codes.scale_exponents)
      least_exponent = std::min(least_exponent.value_or(exponent), exponent);
    if (products == Products::kEstimated)
      run.backend.estimate_gram({codes, around, buffer.as<double>()}, kernels::Stream::kCompute);
    else
      run.backend.gram({codes, around, buffer.as<double>(), rows}, kernels::Stream::kCompute);
  }
  // A centre on a grid coarser than the scales leaves no multiples of them.
  if (centre && least_exponent && *least_exponent < -run.plan.grid_bits) least_exponent.reset();
  return Gram{host_matrix(run.backend, std::move(buffer), count), least_exponent};
}

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
                     Origin origin) {
  MUSTER_CHECK(!order.empty());
  return gram_of_chunks(run, order, order.size(), rows, origin);
}

Result<Gram> gram_of(const Execution& run, Origin origin) {
  return gram_of_chunks(run, {}, run.rows.n(), run.rows.n(), origin);
}

Result<std::optional<Gram>> estimated_gram_of(const Execution& run) {
  const PlanRequest& request = run.plan.request;
  const std::uint32_t n = run.rows.n();
  if (n < kRowsWorthEstimating || !run.backend.estimates_gram(request.format.codec) ||
      request.value_bound > kernels::kEstimateBound)
    return std::optional<Gram>();
  MUSTER_ASSIGN(Gram gram, gram_of_chunks(run, {}, n, n, Origin::kCentre, Products::kEstimated));
  return std::optional(std::move(gram));
}

std::vector<double> diagonal(const Gram& gram, std::size_t n) {
  MUSTER_CHECK_OP(gram.matrix.values.size(), ==, n * n);
  std::vector<double> entries(n);
  for (std::size_t i = 0; i < n; ++i) entries[i] = gram.matrix.values[i * n + i];
  return entries;
}

GramDistances distances_of(const Execution& run, const Gram& gram) {
  std::vector<double> norms = diagonal(gram, run.rows.n());
  const double error = relative_error(run, gram, norms);
  return GramDistances(gram.matrix.values, std::move(norms), error);
}

GramDistances estimated_distances_of(const Execution& run, const Gram& gram) {
  // 2 |x_i - c| |x_j - c| is at most the sum of the squared norms; what the diagonal errs fits into
  // the second order of kEstimateError. In f64 are the sums of blocks, the diagonal, and the
  // differences that decide in the end (see relative_error()).
  const std::uint64_t blocks =
      divide_up<std::uint64_t>(run.plan.rule_chunk, kernels::kEstimateBlock) * run.plan.chunk_count;
  const double in_f64 = 8 * static_cast<double>(kCanonicalBlock + blocks + 16) * 0x1p-53;
  return GramDistances(
      gram.matrix.values, diagonal(gram, run.rows.n()), kernels::kEstimateError + in_f64,
      2 * static_cast<double>(run.plan.rule_dimension) * kernels::kEstimateUnderflow);
}

double relative_error(const Execution& run, const Gram& gram,
                      std::span<const double> squared_norms) {
  if (gram.least_exponent) {
    // Everything is a multiple of the squared least scale; below 2^53 of those nothing is rounded.
    const double largest = *std::max_element(squared_norms.begin(), squared_norms.end());
    if (4 * largest < std::ldexp(1.0, 53 + 2 * *gram.least_exponent)) return 0;
  }
  // A backend adds at most 4096 coordinates by themselves, in some order, and then those sums
  // (kernels/canonical.h); the last term covers the roundings of differences
  // from a centre, products, scales and norms.
  const std::uint64_t blocks_of_chunk =
      divide_up<std::uint64_t>(run.plan.rule_chunk, kCanonicalBlock);
  const double additions =
      static_cast<double>(kCanonicalBlock + blocks_of_chunk * run.plan.chunk_count + 16);
  return 4 * additions * 0x1p-53;
}

Result<std::vector<double>> measure_pairs(const Execution& run, std::span<const Pair> pairs) {
  std::vector<std::uint32_t> flat;
  flat.reserve(2 * pairs.size());
  for (const Pair& pair : pairs) flat.insert(flat.end(), {pair.i, pair.j});
  std::vector<double> distances(pairs.size());
  for (std::uint32_t c = 0; c < run.plan.chunk_count; ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, run.rows.chunk(c));
    for (std::size_t first = 0; first < pairs.size(); first += kPairsPerJob) {
      const std::size_t count = std::min(kPairsPerJob, pairs.size() - first);
      run.backend.pair_distances({codes, std::span(flat).subspan(2 * first, 2 * count),
                                  std::span(distances).subspan(first, count)},
                                 kernels::Stream::kCompute);
    }
  }
  return distances;
}

Status MeasuredDistances::require(std::vector<Pair> pairs) {
  std::erase_if(pairs, [&](const Pair& pair) { return known_.contains(key(pair)); });
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  for (std::size_t first = 0; first < pairs.size(); first += kPairsPerPass) {
    const auto some =
        std::span(pairs).subspan(first, std::min(kPairsPerPass, pairs.size() - first));
    MUSTER_ASSIGN(const std::vector<double> distances, measure_pairs(run_, some));
    for (std::size_t k = 0; k < some.size(); ++k) known_.emplace(key(some[k]), distances[k]);
  }
  return {};
}

double MeasuredDistances::of(std::uint32_t i, std::uint32_t j) const {
  const auto found = known_.find(key(ordered(i, j)));
  MUSTER_CHECK(found != known_.end());
  return found->second;
}

Result<std::vector<double>> all_distances(const Execution& run) {
  const std::size_t n = run.rows.n();
  std::vector<double> all(n * n);
  if (run.plan.request.format.codec == Codec::kI8S) {
    MUSTER_ASSIGN(const Gram gram, gram_of(run));
    const GramDistances distances = distances_of(run, gram);
    if (distances.exact()) {
      for (std::uint32_t i = 0; i < n; ++i)
        for (std::uint32_t j = 0; j < n; ++j) all[i * n + j] = distances.least(i, j);
      return all;
    }
  }
  std::vector<Pair> pairs;
  for (std::uint32_t i = 0; i < n; ++i)
    for (std::uint32_t j = i + 1; j < n; ++j) {
      pairs.push_back({i, j});
      if (pairs.size() < kPairsPerPass && (i + 2 < n || j + 1 < n)) continue;
      MUSTER_ASSIGN(const std::vector<double> distances, measure_pairs(run, pairs));
      for (std::size_t k = 0; k < pairs.size(); ++k)
        all[pairs[k].i * n + pairs[k].j] = all[pairs[k].j * n + pairs[k].i] = distances[k];
      pairs.clear();
    }
  return all;
}

}  // namespace muster::robust
