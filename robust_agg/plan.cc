#include "robust_agg/plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "robust_agg/krum_select.h"
#include "robust_agg/mda.h"
#include "robust_agg/sketch.h"

namespace muster::robust {
namespace {

/// Below this a coordinate is coarser than f32 keeps it in a model of size 1.
constexpr int kLeastGridBits = 24;

std::string with_unit(std::size_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string brief(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", value);
  return text;
}

std::string list(const std::vector<MemoryItem>& items) {
  std::string text;
  for (const MemoryItem& item : items)
    text += (text.empty() ? "" : ", ") + item.what + " " + with_unit(item.bytes);
  return text;
}

Status check_numbers(const PlanRequest& request) {
  const auto refuse = [](const std::string& what, std::uint64_t value, std::uint64_t least,
                         std::uint64_t most) {
    return Status(Code::kInvalid, "plan_request",
                  what + " must be in [" + std::to_string(least) + ", " + std::to_string(most) +
                      "], it is " + std::to_string(value));
  };
  const auto& r = request;
  if (r.dimension < 1 || r.dimension > limits::kMaxDimension)
    return refuse("dimension", r.dimension, 1, limits::kMaxDimension);
  if (r.chunk_coordinates < 1 || r.chunk_coordinates > limits::kMaxChunkCoordinates)
    return refuse("chunk_coordinates", r.chunk_coordinates, 1, limits::kMaxChunkCoordinates);
  if (r.max_updates < 1 || r.max_updates > limits::kMaxUpdates)
    return refuse("max_updates", r.max_updates, 1, limits::kMaxUpdates);
  if (r.max_weight < 1 || r.max_weight > limits::kMaxWeight)
    return refuse("max_weight", r.max_weight, 1, limits::kMaxWeight);
  if (r.minimum_cohort < 1 || r.minimum_cohort > r.max_updates)
    return refuse("minimum_cohort", r.minimum_cohort, 1, r.max_updates);
  if (!(std::isfinite(r.value_bound) && r.value_bound > 0))
    return Status(Code::kInvalid, "plan_request",
                  "value_bound must be a positive number, it is " + std::to_string(r.value_bound));
  return {};
}

/// Every cohort a round may close with must carry the rule: a share of the cohort can step up by
/// one between two sizes and leave a larger cohort short where a smaller one was enough.
Status check_cohort(const PlanRequest& request) {
  if (request.sharding)
    return check_shards(*request.sharding, request.rule, request.minimum_cohort,
                        request.max_updates, request.pre_steps);
  const auto& steps = request.pre_steps;
  const Rule& rule = request.rule;
  const bool only_counts = steps.empty() && fault_bound(rule).count;
  for (std::uint32_t n = request.minimum_cohort; n <= request.max_updates; ++n) {
    const std::uint32_t f = fault_bound(steps, rule).of(n), needed = minimum_cohort(steps, rule, n);
    if (n < needed)
      return Status(Code::kInvalid, "cohort_too_small",
                    to_string(steps, rule) + " with f = " + std::to_string(f) + " needs " +
                        std::to_string(needed) + " updates; a round of this task may close with " +
                        std::to_string(n) + ": raise minimum_cohort or lower the fault bound");
    if (only_counts) break;
  }
  return {};
}

/// MDA looks for the best of C(n, f) subsets: every cohort a round may close with must leave few.
Status check_subsets(const PlanRequest& request) {
  if (!std::holds_alternative<Mda>(request.rule)) return {};
  for (std::uint32_t n = request.minimum_cohort; n <= request.max_updates; ++n) {
    std::uint32_t f = fault_bound(request.rule).of(n), whole = n;
    if (request.sharding) {
      MUSTER_ASSIGN(const Shards shards, make_shards(*request.sharding, request.rule, n));
      f = shards.f, whole = shards.largest;
    }
    const std::uint32_t rows = rows_after(request.pre_steps, whole);
    if (subset_count(rows, f) > kMostSubsets)
      return Status(Code::kInvalid, "too_many_subsets",
                    to_string(request.rule) + " over " + std::to_string(rows) +
                        " rows with f = " + std::to_string(f) + " has C(" + std::to_string(rows) +
                        ", " + std::to_string(f) + ") > " + std::to_string(kMostSubsets) +
                        " subsets to choose from: lower max_updates or the fault bound, or put "
                        "bucketing before it");
  }
  return {};
}

Status check_chunks(const PlanRequest& request) {
  MUSTER_TRY(accepts(request.rule, request.format));
  const std::uint64_t block = std::uint64_t{1} << request.format.log2_block;
  if (has_blocks(request.format.codec) && request.chunk_coordinates % block != 0)
    return Status(Code::kInvalid, "rule_codec",
                  "a block of " + std::to_string(block) + " coordinates would straddle chunks of " +
                      std::to_string(request.chunk_coordinates));
  const std::uint64_t chunks =
      divide_up<std::uint64_t>(request.dimension, request.chunk_coordinates);
  if (chunks > limits::kMaxChunks)
    return Status(Code::kInvalid, "too_many_chunks",
                  std::to_string(request.dimension) + " coordinates in chunks of " +
                      std::to_string(request.chunk_coordinates) + " are " + std::to_string(chunks) +
                      " chunks, at most " + std::to_string(limits::kMaxChunks) +
                      " are possible: raise chunk_coordinates");
  return {};
}

/// Rules that add up a chunk beside the accumulator.
bool needs_chunk_sum(const Rule& rule) {
  return std::holds_alternative<CentredClipping>(rule) || std::holds_alternative<FlTrust>(rule);
}

/// Rules that end in sums around a centre, or of rows that are mixed a tile at a time.
bool sums_windows(const PlanRequest& request) {
  const Rule& rule = request.rule;
  const bool mixed = !request.pre_steps.empty() &&
                     (std::holds_alternative<Mean>(rule) || shape_of(rule) == Shape::kCoordinate);
  return mixed || std::holds_alternative<Bulyan>(rule) || std::holds_alternative<Meamed>(rule) ||
         std::holds_alternative<Phocas>(rule);
}

/// Rules that may take a second Gram matrix, around a centre.
bool looks_around_a_centre(const PlanRequest& request) {
  const bool krum =
      std::holds_alternative<Krum>(request.rule) || std::holds_alternative<MultiKrum>(request.rule);
  return krum && request.pre_steps.empty() && !uses_sketches(request.rule);
}

/// How long chunks are for the rules, and what decoding them takes.
void place_coordinates(Plan& plan, const kernels::Backend& backend) {
  const PlanRequest& request = plan.request;
  const ChunkFormat format = request.format;
  plan.rule_chunk = rule_coordinates(format, request.chunk_coordinates);
  const std::size_t whole = plan.chunk_count - 1;
  const std::size_t last = request.dimension - whole * request.chunk_coordinates;
  plan.rule_dimension = whole * plan.rule_chunk + rule_coordinates(format, last);
  plan.restores = in_round_space(format.codec);
  const bool folded_as_sent =
      format.codec == Codec::kTopK && plan.streaming && backend.folds_topk(format.share);
  if (!needs_expansion(format.codec) || folded_as_sent) return;
  constexpr std::size_t kLine = 64 / sizeof(float);
  plan.decoded_pitch = align_up(request.chunk_coordinates, kLine);
  const std::size_t rows = plan.streaming ? plan.chunk_count : plan.rows_at_once();
  plan.decoded_bytes = rows * plan.decoded_pitch * sizeof(float);
}

/// Counts codes where the histograms are smaller than the codes of a full cohort.
void choose_counting(Plan& plan) {
  const PlanRequest& request = plan.request;
  const bool ordered = std::holds_alternative<Median>(request.rule) ||
                       std::holds_alternative<TrimmedMean>(request.rule);
  const std::size_t a_coordinate = kernels::count_bytes(request.format.codec);
  // A zero in the place of an invalid update is in no codes that could be counted.
  if (!ordered || a_coordinate == 0 || !request.pre_steps.empty() || request.sharding ||
      request.invalid_updates == InvalidUpdates::kZero || request.keeps_rows)
    return;
  const std::size_t all = std::size_t{request.max_updates} * plan.row_pitch * plan.chunk_count;
  plan.counter_bytes = static_cast<std::size_t>(request.dimension) * a_coordinate;
  plan.counting = plan.counter_bytes < all;
  if (!plan.counting) plan.counter_bytes = 0;
}

/// What jobs that order the values of a coordinate need beside other scratch.
std::size_t ordering_scratch(const Plan& plan, const kernels::Backend& backend) {
  if (sums_windows(plan.request)) return backend.window_sum_scratch_bytes(plan.rows_at_once());
  if (shape_of(plan.request.rule) != Shape::kCoordinate || plan.counting) return 0;
  return backend.kept_sum_scratch_bytes(plan.rows_at_once(), plan.rule_chunk);
}

/// What the task keeps in backend memory besides codes.
std::vector<MemoryItem> fixed_memory(const Plan& plan, const kernels::Backend& backend) {
  const PlanRequest& request = plan.request;
  const auto d = static_cast<std::size_t>(request.dimension);
  std::vector<MemoryItem> memory = {{"accumulator", 8 * plan.rule_dimension}, {"model", 4 * d}};
  if (plan.counting) memory.push_back({"histograms", plan.counter_bytes});
  if (plan.restores) memory.push_back({"sums of the model", 8 * d});
  if (plan.decoded_bytes > 0)
    memory.push_back(
        {plan.streaming ? "decoded update" : "decoded codes of one chunk", plan.decoded_bytes});
  if (has_first_moment(request.optimiser))
    memory.push_back({"optimiser", (has_second_moment(request.optimiser) ? 8 : 4) * d});
  if (uses_previous(request.rule)) memory.push_back({"previous aggregate", 4 * d});
  if (request.sharding) memory.push_back({"shard sum", 8 * plan.rule_dimension});
  if (needs_chunk_sum(request.rule) || (uses_previous(request.rule) && !request.pre_steps.empty()))
    memory.push_back({"chunk sum", sizeof(std::int64_t) * plan.rule_chunk});
  const std::size_t n = plan.streaming ? 1 : plan.rows_at_once();
  if (shape_of(request.rule) == Shape::kGram)
    memory.push_back({"gram matrix", sizeof(double) * n * n});
  if (std::holds_alternative<Caf>(request.rule))
    memory.push_back({"covariance", 2 * sizeof(double) * n * n});
  const bool all_distances =
      !request.pre_steps.empty() || std::holds_alternative<Mda>(request.rule);
  // Those measured, in rank order, and after a stage of mixing.
  if (all_distances && needs_distances(request.pre_steps, request.rule))
    memory.push_back({"distances", 3 * sizeof(double) * n * n});
  if (std::holds_alternative<Bulyan>(request.rule))
    memory.push_back({"neighbour lists", 2 * sizeof(std::uint32_t) * n * n});
  if (request.invalid_updates == InvalidUpdates::kZero && !plan.streaming)
    memory.push_back({"zero update", plan.row_pitch});
  if (looks_around_a_centre(request))
    memory.push_back({"centre", (sizeof(std::int64_t) + sizeof(float)) * plan.rule_chunk});
  if (uses_sketches(request.rule)) {
    memory.push_back({"rows measured again", sizeof(double) * n * std::min(n, kMostMeasured)});
  }
  if (const std::size_t bytes = ordering_scratch(plan, backend); bytes > 0)
    memory.push_back({"scratch of order statistics", bytes});
  memory.push_back({"scratch", backend.scratch_bytes(n, plan.rule_chunk)});
  memory.insert(memory.end(), request.beside.begin(), request.beside.end());
  return memory;
}

std::size_t total(const std::vector<MemoryItem>& memory) {
  std::size_t bytes = 0;
  for (const MemoryItem& item : memory) bytes += item.bytes;
  return bytes;
}

/// Sketches of all updates while they arrive, or of one shard after the other at the close, where
/// only that fits.
void place_sketches(Plan& plan) {
  const PlanRequest& request = plan.request;
  if (!uses_sketches(request.rule)) return;
  plan.keeps_total = !request.sharding;
  const std::size_t one_chunk = std::size_t{plan.rows_at_once()} * plan.row_pitch;
  const std::size_t all = SketchFold::bytes(plan, request.max_updates);
  plan.sketched_on_arrival = !request.sharding || request.memory_budget == 0 ||
                             total(plan.memory) + one_chunk + all <= request.memory_budget;
  if (plan.sketched_on_arrival)
    plan.memory.push_back({"sketches made on arrival", all});
  else
    plan.memory.push_back(
        {"sketches of a shard made at the close", SketchFold::bytes(plan, plan.rows_at_once())});
}

/// As many as make a job worth its launch, in two halves.
std::uint32_t staged_updates(const Plan& plan) {
  constexpr std::size_t kHalfBytes = std::size_t{64} << 20;
  constexpr std::size_t kTogether = 16;
  // There is room for one decoded update.
  if (plan.decoded_pitch > 0) return 2;
  const std::size_t update = plan.chunk_count * plan.row_pitch;
  return 2 * static_cast<std::uint32_t>(std::clamp<std::size_t>(
                 kHalfBytes / std::max<std::size_t>(update, 1), 1, kTogether));
}

Status place_codes(Plan& plan) {
  const PlanRequest& request = plan.request;
  const std::size_t one_chunk = std::size_t{plan.rows_at_once()} * plan.row_pitch;
  const std::size_t all = std::size_t{request.max_updates} * plan.row_pitch * plan.chunk_count;
  const bool bounded = request.memory_budget != 0;
  const std::size_t rest = total(plan.memory);
  MemoryItem codes;
  if (plan.streaming) {
    const std::size_t update = plan.chunk_count * plan.row_pitch;
    while (bounded && plan.staged_updates > 2 &&
           rest + plan.staged_updates * update > request.memory_budget)
      plan.staged_updates -= 2;
    codes = {plan.staged_updates == 1
                 ? "codes of one update"
                 : "codes of " + std::to_string(plan.staged_updates) + " updates on their way",
             plan.staged_updates * update};
  } else if (!bounded || rest + all <= request.memory_budget) {
    codes = {"codes of all updates", all};
    plan.resident = true;
  } else {
    codes = {
        request.sharding ? "codes of one chunk of a shard" : "codes of one chunk of all updates",
        one_chunk};
  }
  plan.memory.push_back(codes);
  plan.peak_bytes = rest + codes.bytes;
  if (bounded && plan.peak_bytes > request.memory_budget)
    return Status(Code::kInvalid, "memory_budget",
                  to_string(request.pre_steps, request.rule) + " over " +
                      std::to_string(request.dimension) + " coordinates and " +
                      std::to_string(request.max_updates) + " updates needs " +
                      with_unit(plan.peak_bytes) + " of a budget of " +
                      with_unit(request.memory_budget) + ": " + list(plan.memory));
  return {};
}

}  // namespace

int grid_bits(float value_bound, std::uint32_t max_updates, std::uint32_t max_weight,
              int headroom_bits) {
  int exponent = 0;
  // value_bound = mantissa * 2^exponent with mantissa in [1/2, 1): a power of two is its own
  // ceiling.
  if (std::frexp(value_bound, &exponent) == 0.5f) --exponent;
  const std::uint64_t weight = std::uint64_t{max_updates} * max_weight;
  MUSTER_CHECK(weight > 0);
  return std::min(40, 62 - headroom_bits - exponent - static_cast<int>(std::bit_width(weight - 1)));
}

std::uint32_t Plan::rows_at_once() const {
  const std::uint32_t all = request.max_updates;
  return request.sharding ? std::min(request.sharding->size, all) : all;
}

std::string Plan::describe() const {
  return "grid 2^-" + std::to_string(grid_bits) + " (resolution " +
         brief(std::ldexp(1.0, -grid_bits)) + "), peak " + with_unit(peak_bytes) + ": " +
         list(memory);
}

std::size_t row_pitch(std::size_t row_bytes) {
  constexpr std::size_t kLine = 64;
  return (divide_up(row_bytes, kLine) | 1) * kLine;
}

Result<Plan> make_plan(const PlanRequest& request, const kernels::Backend& backend) {
  MUSTER_TRY(check_numbers(request));
  MUSTER_TRY(check_chunks(request));
  MUSTER_TRY(accepts(request.pre_steps, request.rule));
  MUSTER_TRY(check_cohort(request));
  MUSTER_TRY(check_subsets(request));
  Plan plan;
  plan.request = request;
  plan.chunk_count = static_cast<std::uint32_t>(
      divide_up<std::uint64_t>(request.dimension, request.chunk_coordinates));
  plan.row_bytes = payload_bytes(request.format, request.chunk_coordinates);
  plan.row_pitch = row_pitch(plan.row_bytes);
  plan.streaming = shape_of(request.rule) == Shape::kRow && request.pre_steps.empty() &&
                   !request.sharding && !request.keeps_rows;
  choose_counting(plan);
  plan.streaming = plan.streaming || plan.counting;
  place_coordinates(plan, backend);
  plan.grid_bits = grid_bits(request.value_bound, request.max_updates, request.max_weight,
                             restore_headroom_bits(request.format));
  if (plan.grid_bits < kLeastGridBits)
    return Status(Code::kInvalid, "grid_too_coarse",
                  "value_bound " + brief(request.value_bound) + ", " +
                      std::to_string(request.max_updates) + " updates and max_weight " +
                      std::to_string(request.max_weight) + " leave a grid of 2^-" +
                      std::to_string(plan.grid_bits) + ", the coarsest allowed is 2^-" +
                      std::to_string(kLeastGridBits) + ": lower one of the three");
  if (plan.streaming && !backend.host_visible()) plan.staged_updates = staged_updates(plan);
  plan.memory = fixed_memory(plan, backend);
  place_sketches(plan);
  MUSTER_TRY(place_codes(plan));
  return plan;
}

}  // namespace muster::robust
