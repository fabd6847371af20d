#include "privacy/apply.h"

#include <algorithm>

#include "base/check.h"
#include "privacy/scratch.h"

namespace muster::privacy {
namespace {

constexpr auto kStream = kernels::Stream::kCompute;

/// The job's arrays are on the host and end with this call's scope.
void finish(kernels::Backend& backend) { backend.wait(backend.record(kStream)); }

}  // namespace

Status add_contributions(kernels::Backend& backend, const Rows& rows,
                         const Contributions& contributions, std::span<const std::int64_t> weights,
                         std::int64_t* sum) {
  MUSTER_CHECK_OP(weights.size(), ==, std::size_t{rows.n});
  for (std::uint32_t c = 0; c < rows.chunk_count(); ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, rows.chunk(c));
    backend.accumulate({codes, contributions.factors, weights, 0, sum + rows.begin(c)}, kStream);
    finish(backend);
  }
  return {};
}

Status add_trimmed(kernels::Backend& backend, const Rows& rows, const Contributions& contributions,
                   std::uint32_t n, std::uint32_t f, std::int64_t* sum) {
  MUSTER_CHECK(rows.n >= 1 && rows.n <= n && 2 * std::uint64_t{f} < n);
  std::vector<double> factors = contributions.factors;
  // Zero vectors may not even be looked at, for they may not be finite: their place is taken by the
  // codes of a row that counts, times zero.
  const auto counted =
      std::find_if(factors.begin(), factors.end(), [](double x) { return x != 0; });
  if (counted == factors.end()) return {};
  const auto spare = static_cast<std::size_t>(counted - factors.begin());
  factors.resize(n, 0.0);
  std::vector<const std::byte*> addresses;
  for (std::uint32_t c = 0; c < rows.chunk_count(); ++c) {
    MUSTER_ASSIGN(kernels::Codes codes, rows.chunk(c));
    addresses.assign(n, codes.rows[spare]);
    for (std::uint32_t i = 0; i < rows.n; ++i)
      if (factors[i] != 0) addresses[i] = codes.rows[i];
    codes.rows = addresses;
    backend.window_sum({.codes = codes,
                        .factors = factors,
                        .stages = {},
                        .low = f,
                        .high = f,
                        .keep = 0,
                        .grid_bits = 0,
                        .target = sum + rows.begin(c)},
                       kStream);
    finish(backend);
  }
  return {};
}

Status add_differences(kernels::Backend& backend, const Rows& rows,
                       const Contributions& contributions, const float* centre, std::int64_t* sum) {
  const std::vector<std::int64_t> weights(rows.n, 1);
  std::vector<double> opposite;
  for (const double factor : contributions.factors) opposite.push_back(-factor);
  for (std::uint32_t c = 0; c < rows.chunk_count(); ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, rows.chunk(c));
    std::int64_t* const target = sum + rows.begin(c);
    backend.accumulate({codes, contributions.factors, weights, 0, target}, kStream);
    // The centre once for each row, rounded with the row's own factor: a row's term stays an
    // integer of its own.
    const std::vector<const std::byte*> copies(
        rows.n, reinterpret_cast<const std::byte*>(centre + rows.begin(c)));
    backend.accumulate({{{Codec::kF32, 0}, codes.d, copies, {}}, opposite, weights, 0, target},
                       kStream);
    finish(backend);
  }
  return {};
}

Status add_bucket(kernels::Backend& backend, const Rows& rows, const Contributions& contributions,
                  std::span<const std::uint32_t> members, std::int64_t* sum) {
  const std::vector<std::int64_t> weights(members.size(), 1);
  std::vector<double> factors;
  for (const std::uint32_t row : members) factors.push_back(contributions.factors[row]);
  std::vector<const std::byte*> addresses(members.size());
  for (std::uint32_t c = 0; c < rows.chunk_count(); ++c) {
    MUSTER_ASSIGN(kernels::Codes codes, rows.chunk(c));
    for (std::size_t i = 0; i < members.size(); ++i) addresses[i] = codes.rows[members[i]];
    codes.rows = addresses;
    backend.accumulate({codes, factors, weights, 0, sum + rows.begin(c)}, kStream);
    finish(backend);
  }
  return {};
}

void add_votes(kernels::Backend& backend, const std::int64_t* votes, std::int64_t units,
               std::int64_t* sum, std::size_t dimension) {
  // Divides by 1 / units: two roundings of f64 on less than 2^51, off by less than a half.
  backend.merge({votes, 0, 1 / static_cast<double>(units), sum, dimension}, kStream);
  finish(backend);
}

void add_noise(kernels::Backend& backend, const Secret& key, std::uint32_t vector,
               const NoiseGrid& grid, std::int64_t* sum, std::size_t dimension, std::int64_t weight,
               std::uint64_t first) {
  backend.add_noise({.key = key.words(),
                     .vector = vector,
                     .log2_sigma = grid.log2_sigma,
                     .weight = weight,
                     .first = first,
                     .target = sum,
                     .d = dimension},
                    kStream);
  finish(backend);
}

}  // namespace muster::privacy
