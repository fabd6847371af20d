// Runs a rule on every backend there is and demands equal bits from all of them.
#pragma once

#include <gtest/gtest.h>

#include "tests/robust_agg/encode.h"
#include "tests/robust_agg/reference_backend.h"

namespace muster::robust::testing {

struct Conditions {
  Rule rule;
  ChunkFormat format = {};
  std::uint32_t chunk_coordinates = 4096;
  std::uint32_t max_weight = 1;
  float value_bound = 64;
  std::vector<std::uint32_t> weights = {};  ///< empty: ones
  std::vector<std::uint64_t> ranks = {};    ///< empty: the row index
  std::optional<Sharding> sharding = {};
  std::vector<float> previous = {};  ///< empty: none
  std::optional<std::uint32_t> trusted = {};
  std::vector<PreStep> pre_steps = {};
  InvalidUpdates invalid_updates = InvalidUpdates::kReject;
};

struct Answer {
  Status status;
  Outcome outcome;
  std::vector<std::int64_t> sum;
  Vector values;              ///< sum on the grid / divisor
  double resolution = 0;      ///< what one rounding of each row to the grid may change in a value
  std::size_t reads = 0;      ///< chunks of the cohort read
  std::size_t most_rows = 0;  ///< of a chunk at once
};

/// A CPU backend at the best level of this machine.
inline kernels::Backend& cpu_backend() {
  static const auto backend = [] {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    return kernels::create_backend(options, nullptr).value();
  }();
  return *backend;
}

inline Plan plan_for(const Conditions& conditions, std::size_t n, std::size_t d,
                     const kernels::Backend& backend) {
  PlanRequest request;
  request.rule = conditions.rule;
  request.dimension = d;
  request.chunk_coordinates = conditions.chunk_coordinates;
  request.format = conditions.format;
  request.max_updates = static_cast<std::uint32_t>(n);
  request.max_weight = conditions.max_weight;
  request.minimum_cohort = 1;
  request.value_bound = conditions.value_bound;
  // The planner would refuse cohorts that cannot carry the rule; here aggregate() has to.
  const Rule rule = std::exchange(request.rule, Rule(Mean{}));
  Plan plan = make_plan(request, backend).value();
  plan.request.rule = rule;
  plan.request.sharding = conditions.sharding;
  plan.request.pre_steps = conditions.pre_steps;
  plan.request.invalid_updates = conditions.invalid_updates;
  plan.keeps_total = uses_sketches(rule) && !conditions.sharding;
  plan.streaming =
      shape_of(rule) == Shape::kRow && !conditions.sharding && conditions.pre_steps.empty();
  return plan;
}

/// Runs on one backend.
inline Answer run_on(kernels::Backend& backend, const Conditions& conditions, const Rows& rows) {
  const std::size_t d = rows.at(0).size();
  const Plan plan = plan_for(conditions, rows.size(), d, backend);
  MemoryCohort cohort(plan, backend, rows, conditions.weights, conditions.ranks);
  if (conditions.trusted) cohort.trust(*conditions.trusted);
  const kernels::Buffer buffer = backend.allocate(d * sizeof(std::int64_t)).value();
  const kernels::Buffer previous =
      backend.allocate(conditions.previous.size() * sizeof(float)).value();
  backend.upload(previous.data, std::as_bytes(std::span(conditions.previous)),
                 kernels::Stream::kCompute);
  Answer answer;
  const std::size_t before = backend.allocated_bytes();
  auto outcome = aggregate(plan, backend, cohort, buffer.as<std::int64_t>(),
                           conditions.previous.empty() ? nullptr : previous.as<const float>());
  EXPECT_EQ(backend.allocated_bytes(), before) << "aggregate kept backend memory";
  answer.status = outcome.status();
  answer.reads = cohort.reads();
  answer.most_rows = cohort.most_rows();
  if (outcome.ok()) {
    answer.outcome = *std::move(outcome);
    answer.sum.resize(d);
    backend.download(std::as_writable_bytes(std::span(answer.sum)), buffer.data,
                     kernels::Stream::kCompute);
    for (const std::int64_t sum : answer.sum)
      answer.values.push_back(std::ldexp(static_cast<double>(sum), -plan.grid_bits) /
                              answer.outcome.divisor);
    answer.resolution = std::ldexp(1.0, -plan.grid_bits);
  }
  backend.release(previous);
  backend.release(buffer);
  return answer;
}

inline void expect_equal(const Answer& a, const Answer& b, std::string_view what) {
  SCOPED_TRACE(what);
  EXPECT_EQ(a.status.to_string(), b.status.to_string());
  EXPECT_EQ(a.sum, b.sum);
  EXPECT_EQ(a.outcome.divisor, b.outcome.divisor);
  EXPECT_EQ(a.outcome.selected, b.outcome.selected);
  EXPECT_EQ(a.outcome.invalid, b.outcome.invalid);
  EXPECT_EQ(a.outcome.n, b.outcome.n);
  EXPECT_EQ(a.outcome.f, b.outcome.f);
}

/// Runs on the plain loops, on the plain loops behind memory the host cannot see, and on the CPU
/// backend at every level with one thread and with two; all must agree.
inline Answer run(const Conditions& conditions, const Rows& rows) {
  ReferenceBackend reference;
  const Answer answer = run_on(reference, conditions, rows);
  ReferenceBackend opaque(false);
  expect_equal(answer, run_on(opaque, conditions, rows), "opaque memory");
  for (int level = 0; level <= static_cast<int>(kernels::detect_cpu_level()); ++level)
    for (const std::size_t threads : {1u, 2u}) {
      kernels::BackendOptions options;
      options.kind = "cpu";
      options.threads = threads;
      options.level = static_cast<kernels::CpuLevel>(level);
      const auto backend = kernels::create_backend(options, nullptr).value();
      expect_equal(answer, run_on(*backend, conditions, rows), backend->description());
    }
  return answer;
}

inline FaultBound faulty(std::uint32_t f) { return {f, 0}; }

}  // namespace muster::robust::testing
