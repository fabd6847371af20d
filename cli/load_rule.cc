#include "cli/load_rule.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "robust_agg/aggregate.h"

namespace muster::cli {
namespace {

/// Rows folded in one call.
constexpr std::size_t kTogether = 256;

class MemoryCohort final : public robust::Cohort {
 public:
  MemoryCohort(const wire::Assignment& assignment, const EncodedRows& rows)
      : assignment_(assignment), rows_(rows), weights_(rows.size(), 1), ranks_(rows.size()) {
    std::iota(ranks_.begin(), ranks_.end(), std::uint64_t{0});
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(rows_.size()); }
  std::span<const std::uint32_t> weights() const override { return weights_; }
  std::span<const std::uint64_t> ranks() const override { return ranks_; }
  Result<kernels::Codes> chunk(std::uint32_t index) override {
    addresses_.clear();
    for (const auto& row : rows_) addresses_.push_back(row[index].data());
    return codes(index, addresses_);
  }
  kernels::Codes codes(std::uint32_t index, std::span<const std::byte* const> addresses) const {
    const std::uint64_t first = std::uint64_t{index} * assignment_.chunk_coordinates;
    const auto d = static_cast<std::size_t>(
        std::min<std::uint64_t>(assignment_.chunk_coordinates, assignment_.dimension - first));
    kernels::Codes codes{assignment_.format, d, addresses, {}};
    if (has_shared_scales(assignment_.format.codec)) {
      const std::size_t block = std::size_t{1} << assignment_.format.log2_block;
      codes.scale_exponents = std::span<const std::int8_t>(assignment_.scale_exponents)
                                  .subspan(first / block, divide_up(d, block));
    }
    return codes;
  }

 private:
  const wire::Assignment& assignment_;
  const EncodedRows& rows_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<const std::byte*> addresses_;
};

/// Backend memory that goes with the scope.
class Held {
 public:
  Held(kernels::Backend& backend, std::size_t bytes)
      : backend_(backend), buffer_(backend.allocate(std::max<std::size_t>(bytes, 64)).value()) {}
  ~Held() { backend_.release(buffer_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  template <class T>
  T* as() {
    return buffer_.as<T>();
  }
  std::byte* data() { return buffer_.data; }

 private:
  kernels::Backend& backend_;
  kernels::Buffer buffer_;
};

Result<robust::Plan> plan_of(const ScenarioTask& task, const wire::Assignment& assignment,
                             const kernels::Backend& backend) {
  robust::PlanRequest request;
  MUSTER_ASSIGN(request.rule, robust::parse_rule(task.rule, task.parameters));
  request.dimension = assignment.dimension;
  request.chunk_coordinates = assignment.chunk_coordinates;
  request.format = assignment.format;
  request.max_updates = static_cast<std::uint32_t>(
      std::ceil(static_cast<double>(task.target_cohort) * task.over_selection));
  request.max_weight = assignment.max_weight;
  request.minimum_cohort = task.minimum_cohort;
  request.value_bound = assignment.value_bound;
  return robust::make_plan(request, backend);
}

Result<robust::Outcome> fold(const robust::Plan& plan, kernels::Backend& backend,
                             const EncodedRows& updates, const MemoryCohort& cohort,
                             std::int64_t* sum) {
  Held decoded(backend, plan.decoded_bytes), counters(backend, plan.counter_bytes);
  robust::RowFold rows(backend, plan, sum, decoded.as<float>(), counters.as<std::uint32_t>());
  const std::size_t together = plan.decoded_bytes == 0 ? kTogether : 1;
  std::vector<const std::byte*> addresses;
  for (std::size_t at = 0; at < updates.size(); at += together) {
    const std::size_t n = std::min(together, updates.size() - at);
    addresses.clear();
    for (std::uint32_t chunk = 0; chunk < plan.chunk_count; ++chunk)
      for (std::size_t i = 0; i < n; ++i) addresses.push_back(updates[at + i][chunk].data());
    std::vector<kernels::Codes> codes;
    for (std::uint32_t chunk = 0; chunk < plan.chunk_count; ++chunk)
      codes.push_back(cohort.codes(chunk, std::span(addresses).subspan(chunk * n, n)));
    rows.add(codes, cohort.weights().subspan(at, n));
  }
  return std::move(rows).finish();
}

std::uint32_t in_proportion(std::uint32_t count, std::size_t part, std::uint32_t whole) {
  return static_cast<std::uint32_t>(
      std::llround(static_cast<double>(count) * static_cast<double>(part) / whole));
}

}  // namespace

Status play_round(const ScenarioTask& task, kernels::Backend& backend,
                  const wire::Assignment& assignment, const EncodedRows& rows,
                  robust::ModelState& state) {
  MUSTER_ASSIGN(const robust::Plan plan, plan_of(task, assignment, backend));
  Held sum(backend, plan.rule_dimension * sizeof(std::int64_t));
  MemoryCohort cohort(assignment, rows);
  robust::Outcome outcome;
  if (plan.streaming) {
    MUSTER_ASSIGN(outcome, fold(plan, backend, rows, cohort, sum.as<std::int64_t>()));
  } else {
    Held previous(backend, state.aggregate.size() * sizeof(float));
    if (!state.aggregate.empty())
      backend.upload(previous.data(), std::as_bytes(std::span<const float>(state.aggregate)),
                     kernels::Stream::kCompute);
    MUSTER_ASSIGN(outcome,
                  robust::aggregate(plan, backend, cohort, sum.as<std::int64_t>(),
                                    state.aggregate.empty() ? nullptr : previous.as<float>()));
  }
  Held model_sum(backend, plan.restores ? plan.request.dimension * sizeof(std::int64_t) : 0);
  if (plan.restores)
    robust::restore(plan, backend, assignment.codec_seed, sum.as<std::int64_t>(),
                    model_sum.as<std::int64_t>());
  return robust::apply_step(backend, {}, plan, outcome,
                            (plan.restores ? model_sum : sum).as<std::int64_t>(), state);
}

loadtest::CohortRule cohort_rule(const ScenarioTask& task) {
  return [task, backend = std::shared_ptr<kernels::Backend>()](
             std::span<const std::vector<float>> cohort) mutable -> Result<std::vector<float>> {
    if (!backend) {
      kernels::BackendOptions options;
      options.kind = "cpu";
      MUSTER_ASSIGN(backend, kernels::create_backend(options, nullptr));
    }
    ScenarioTask small = task;
    small.target_cohort = small.minimum_cohort = static_cast<std::uint32_t>(cohort.size());
    small.over_selection = 1;
    auto& parameters = small.parameters;
    if (parameters.f)
      *parameters.f = in_proportion(*parameters.f, cohort.size(), task.target_cohort);
    if (parameters.m)
      *parameters.m = std::max(1U, in_proportion(*parameters.m, cohort.size(), task.target_cohort));
    wire::Assignment assignment;
    assignment.dimension = cohort[0].size();
    assignment.chunk_coordinates = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(assignment.dimension, task.chunk_coordinates));
    assignment.format = {Codec::kF32};
    assignment.value_bound = static_cast<float>(task.value_bound);
    std::vector<std::vector<std::vector<std::byte>>> chunks(cohort.size());
    EncodedRows rows;
    for (std::size_t i = 0; i < cohort.size(); ++i) {
      const std::span<const float> row(cohort[i]);
      for (std::size_t at = 0; at < row.size(); at += assignment.chunk_coordinates) {
        const auto bytes = std::as_bytes(
            row.subspan(at, std::min<std::size_t>(assignment.chunk_coordinates, row.size() - at)));
        chunks[i].emplace_back(bytes.begin(), bytes.end());
      }
      rows.emplace_back(chunks[i]);
    }
    robust::ModelState state;
    state.values.assign(cohort[0].size(), 0.0F);
    MUSTER_TRY(play_round(small, *backend, assignment, rows, state));
    return std::move(state.values);
  };
}

}  // namespace muster::cli
