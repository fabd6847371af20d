#include "privacy/mechanism.h"

#include <fmt/format.h>

#include <cmath>

#include "base/limits.h"
#include "kernels/backend.h"

namespace muster::privacy {
namespace {

Status refuse(const char* reason, std::string why) {
  return Status(Code::kInvalid, reason, std::move(why));
}

double below(double value) { return std::nextafter(std::nextafter(value, 0), 0); }

/// `units`: how far one device moves the integers under zero-out; `any`: the same under every
/// adjacency.
Mechanism make(std::string name, const MechanismRequest& request, const NoiseGrid& grid,
               std::uint64_t units, double divisor, bool any = false) {
  Mechanism mechanism;
  mechanism.name = std::move(name);
  mechanism.grid = grid;
  mechanism.adjacency = request.adjacency;
  const bool doubled = !any && request.adjacency == Adjacency::kReplaceOne;
  mechanism.sensitivity_units = units * (doubled ? 2 : 1);
  mechanism.divisor = divisor;
  mechanism.noise_multiplier =
      below(std::ldexp(1.0, grid.log2_sigma) / static_cast<double>(mechanism.sensitivity_units) *
            sum_sensitivity(request.adjacency));
  return mechanism;
}

/// "2 C / n = 2 * 1 / 1000 = 0.002"
std::string formula(const Mechanism& mechanism, double factor, std::string_view symbols,
                    std::string_view numbers) {
  const std::string times = factor == 2 ? "2 " : "", product = factor == 2 ? "2 * " : "";
  return fmt::format("{}{} = {}{} = {:.6g}", times, symbols, product, numbers,
                     mechanism.sensitivity());
}

Result<NoiseGrid> grid_of(const MechanismRequest& request, std::uint32_t contributions,
                          std::uint32_t max_weight = 1) {
  return plan_grid(
      {request.clip_norm, request.noise_multiplier, request.dimension, contributions, max_weight});
}

}  // namespace

Result<Mechanism> gaussian_mean(const MechanismRequest& request, std::uint32_t max_weight,
                                double weight_total) {
  MUSTER_ASSIGN(const NoiseGrid grid, grid_of(request, request.n, max_weight));
  if (weight_total == 0) weight_total = static_cast<double>(request.n) * max_weight;
  if (!(weight_total > 0 && std::isfinite(weight_total)))
    return refuse("privacy_parameter", "the fixed total weight must be a positive number");
  Mechanism mechanism = make("gaussian mean", request, grid, grid.bound * max_weight, weight_total);
  mechanism.formula =
      formula(mechanism, sum_sensitivity(request.adjacency), "C w_max / W",
              fmt::format("{} * {} / {}", request.clip_norm, max_weight, weight_total));
  return mechanism;
}

Result<Mechanism> trimmed_mean(const MechanismRequest& request, std::uint32_t f) {
  if (request.n <= 2 * std::uint64_t{f})
    return refuse("trim_bound", fmt::format("a trimmed mean of n = {} cannot leave out f = {} at "
                                            "either end: n must be above 2f",
                                            request.n, f));
  MUSTER_ASSIGN(const NoiseGrid grid, grid_of(request, request.n));
  Mechanism mechanism = make("gaussian trimmed mean", request, grid, grid.bound,
                             static_cast<double>(request.n) - 2.0 * f);
  mechanism.formula = formula(mechanism, sum_sensitivity(request.adjacency), "C / (n - 2f)",
                              fmt::format("{} / ({} - 2 * {})", request.clip_norm, request.n, f));
  return mechanism;
}

Result<Mechanism> trimmed_shards(const MechanismRequest& request, std::uint32_t shards,
                                 std::uint32_t f) {
  if (shards == 0 || request.n % shards != 0)
    return refuse("shard_shape",
                  fmt::format("{} updates do not make {} shards of one size", request.n, shards));
  const std::uint32_t size = request.n / shards;
  if (size <= 2 * std::uint64_t{f})
    return refuse("trim_bound", fmt::format("a trimmed mean in shards of {} cannot leave out f = "
                                            "{} at either end: they must be larger than 2f",
                                            size, f));
  MUSTER_ASSIGN(const NoiseGrid grid, grid_of(request, request.n));
  Mechanism mechanism = make("gaussian trimmed mean in shards", request, grid, grid.bound,
                             static_cast<double>(shards) * (size - 2.0 * f));
  mechanism.formula =
      formula(mechanism, sum_sensitivity(request.adjacency), "C / (G (n_g - 2f))",
              fmt::format("{} / ({} * ({} - 2 * {}))", request.clip_norm, shards, size, f));
  return mechanism;
}

Result<Mechanism> centred_clipping(const MechanismRequest& request) {
  MUSTER_ASSIGN(const NoiseGrid grid, grid_of(request, request.n));
  Mechanism mechanism = make("gaussian centred clipping", request, grid, grid.bound, request.n);
  mechanism.formula = formula(mechanism, sum_sensitivity(request.adjacency), "tau / n",
                              fmt::format("{} / {}", request.clip_norm, request.n));
  return mechanism;
}

Result<Mechanism> noised_buckets(const MechanismRequest& request, std::uint32_t buckets,
                                 std::uint32_t size) {
  if (buckets == 0 || size == 0 || std::uint64_t{buckets} * size != request.n)
    return refuse("bucket_shape", fmt::format("{} buckets of {} updates do not make a cohort of {}",
                                              buckets, size, request.n));
  MUSTER_ASSIGN(const NoiseGrid grid, grid_of(request, size));
  Mechanism mechanism = make("noised buckets", request, grid, grid.bound, size);
  mechanism.vectors = buckets;
  mechanism.formula = formula(mechanism, sum_sensitivity(request.adjacency), "C / s",
                              fmt::format("{} / {}", request.clip_norm, size));
  mechanism.formula += fmt::format(" in one of {} buckets", buckets);
  return mechanism;
}

bool buckets_are_useful(const MechanismRequest& request, std::uint32_t size, double bucket_share) {
  const double root = std::sqrt(8 * static_cast<double>(request.dimension));
  return 2 * bucket_share >= std::sqrt(4 * root) * request.noise_multiplier / size;
}

Result<Mechanism> sample_and_aggregate(const MechanismRequest& request, std::uint32_t shards) {
  if (shards == 0 || shards > request.n)
    return refuse("shard_shape",
                  fmt::format("{} updates do not make {} shards", request.n, shards));
  // The noise is to be z times what a sum moves under this adjacency, which is 2C in any case.
  MechanismRequest outputs = request;
  outputs.noise_multiplier *= 2 / sum_sensitivity(request.adjacency);
  MUSTER_ASSIGN(const NoiseGrid grid, grid_of(outputs, shards));
  Mechanism mechanism =
      make("sample and aggregate", request, grid, 2 * grid.bound, shards, /*any=*/true);
  mechanism.formula =
      formula(mechanism, 2, "C / G", fmt::format("{} / {}", request.clip_norm, shards));
  return mechanism;
}

Result<Mechanism> sign_votes(const MechanismRequest& request) {
  // A device's votes are a vector of norm sqrt(D), at most this integer in units of one vote.
  const double root = std::ceil(std::sqrt(static_cast<double>(request.dimension)));
  MechanismRequest votes = request;
  votes.clip_norm = root;
  MUSTER_ASSIGN(NoiseGrid grid, grid_of(votes, request.n));
  // Whole units a vote; and products with counts that f64 holds exactly (privacy/apply.cc).
  double units = std::floor(static_cast<double>(grid.bound) / root);
  while (units * request.n > 0x1p50 && grid.log2_sigma > kernels::kMinLog2Sigma) {
    --grid.log2_sigma;
    units = std::floor(std::ldexp(1 / (request.noise_multiplier * root), grid.log2_sigma));
  }
  if (units < 1)
    return refuse("noise_grid_too_coarse",
                  fmt::format("the votes of {} devices in {} coordinates with noise multiplier {} "
                              "find no grid",
                              request.n, request.dimension, request.noise_multiplier));
  grid.bound = static_cast<std::uint64_t>(units * root);
  grid.step = 1 / units;
  grid.noise_multiplier = below(std::ldexp(1.0, grid.log2_sigma) / static_cast<double>(grid.bound));
  Mechanism mechanism = make("noised sign votes", request, grid, grid.bound, 1);
  mechanism.formula = formula(mechanism, sum_sensitivity(request.adjacency), "sqrt(D) votes",
                              fmt::format("sqrt({})", request.dimension));
  return mechanism;
}

std::int64_t vote_units(const Mechanism& mechanism) {
  return static_cast<std::int64_t>(std::llround(1 / mechanism.grid.step));
}

}  // namespace muster::privacy
