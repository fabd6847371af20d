#include "privacy/clip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "privacy/scratch.h"

namespace muster::privacy {
namespace {

constexpr auto kStream = kernels::Stream::kCompute;

/// squared_distances[i] += |x_i - centre|^2 over one chunk.
Status measure(kernels::Backend& backend, const kernels::Codes& codes, const float* centre,
               double step, std::span<double> squared_distances) {
  MUSTER_ASSIGN(const Scratch on_grid, Scratch::allocate(backend, codes.d * sizeof(std::int64_t)));
  const auto* row = reinterpret_cast<const std::byte*>(centre);
  const double factor = 1 / step;
  const std::int64_t weight = 1;
  backend.accumulate({{{Codec::kF32, 0}, codes.d, {&row, 1}, {}},
                      {&factor, 1},
                      {&weight, 1},
                      0,
                      on_grid.as<std::int64_t>()},
                     kStream);
  backend.relate({codes, on_grid.as<std::int64_t>(), step, squared_distances, {}}, kStream);
  return {};
}

}  // namespace

Result<Contributions> clip_to_grid(kernels::Backend& backend, const Rows& rows, float value_bound,
                                   const NoiseGrid& grid, const float* centre) {
  std::vector<kernels::RowSummary> summaries(rows.n);
  std::vector<double> squared_norms(rows.n);
  std::vector<bool> valid(rows.n, true);
  for (std::uint32_t c = 0; c < rows.chunk_count(); ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, rows.chunk(c));
    backend.inspect({codes, value_bound, summaries, centre == nullptr}, kStream);
    for (std::uint32_t i = 0; i < rows.n; ++i) {
      valid[i] = valid[i] && summaries[i].valid();
      squared_norms[i] += summaries[i].squared_norm;
    }
    if (centre != nullptr)
      MUSTER_TRY(measure(backend, codes, centre + rows.begin(c), grid.step, squared_norms));
  }

  Contributions result;
  const double aim = grid.aim(rows.dimension, centre == nullptr ? 1 : 2);
  for (std::uint32_t i = 0; i < rows.n; ++i) {
    const double norm = std::sqrt(squared_norms[i]) / grid.step;
    const bool usable = valid[i] && std::isfinite(norm);
    const bool clipped = usable && norm > aim;
    result.invalid += usable ? 0 : 1;
    result.clipped += clipped ? 1 : 0;
    result.factors.push_back(!usable ? 0 : (clipped ? aim / norm : 1) / grid.step);
  }

  std::vector<kernels::SquaredNorm> norms(rows.n);
  for (std::uint32_t c = 0; c < rows.chunk_count(); ++c) {
    MUSTER_ASSIGN(const kernels::Codes codes, rows.chunk(c));
    backend.grid_norms(
        {codes, result.factors, centre == nullptr ? nullptr : centre + rows.begin(c), 0, norms},
        kStream);
  }
  const auto most = static_cast<unsigned __int128>(grid.bound) * grid.bound;
  for (std::uint32_t i = 0; i < rows.n; ++i)
    if (norms[i].value() > most) {
      result.factors[i] = 0;
      ++result.unbounded;
    }
  return result;
}

Result<double> update_multiplier(double z, double count_sigma) {
  if (!(z > 0 && z < 2 * count_sigma))
    return Status(Code::kInvalid, "clip_noise",
                  fmt::format("a noise multiplier of {} leaves nothing for the updates beside a "
                              "count with noise of {}: it must be below {}",
                              z, count_sigma, 2 * count_sigma));
  const double count = 2 * count_sigma;
  return 1 / std::sqrt(1 / (z * z) - 1 / (count * count));
}

Result<std::int64_t> count_units_per_half(double count_sigma) {
  // A count's sensitivity is one half: with it at U units, 2^m >= 2 sigma_b U.
  const double units = std::floor(std::ldexp(1.0, kCountLog2Sigma) / (2 * count_sigma));
  if (!(count_sigma > 0 && units >= 1 && units <= 0x1p36))
    return Status(Code::kInvalid, "clip_noise",
                  fmt::format("noise of {} on the count of clipped updates is out of range: n / 20 "
                              "is usual",
                              count_sigma));
  return static_cast<std::int64_t>(units);
}

double next_clip_norm(const AdaptiveClip& adaptive, double clip_norm, std::int64_t noised_count,
                      std::int64_t units_per_half) {
  const double half_units = static_cast<double>(noised_count) / static_cast<double>(units_per_half);
  const double share = std::clamp(half_units / 2 / adaptive.n + 0.5, 0.0, 1.0);
  return clip_norm * std::exp(-adaptive.rate * (share - adaptive.quantile));
}

}  // namespace muster::privacy
