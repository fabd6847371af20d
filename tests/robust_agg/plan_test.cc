#include "robust_agg/plan.h"

#include <gmock/gmock.h>

#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using ::testing::HasSubstr;

PlanRequest request_for(Rule rule) {
  PlanRequest request;
  request.rule = rule;
  request.dimension = 1'000'000;
  request.max_updates = 100;
  request.minimum_cohort = 50;
  return request;
}

std::string refusal(const PlanRequest& request) {
  const auto plan = make_plan(request, ReferenceBackend());
  return plan.ok() ? "accepted: " + plan->describe() : plan.status().to_string();
}

TEST(Plan, GridFollowsTheFormula) {
  EXPECT_EQ(grid_bits(16, 1, 1), 40);
  EXPECT_EQ(grid_bits(16, 1000, 1), 40);
  EXPECT_EQ(grid_bits(16, 1u << 20, 1u << 10), 28);
  EXPECT_EQ(grid_bits(16, (1u << 20) + 1, 1u << 10), 27);
  EXPECT_EQ(grid_bits(17, 1u << 20, 1u << 10), 27);
  EXPECT_EQ(grid_bits(0.001f, 1u << 20, 1u << 10), 40);
  EXPECT_EQ(grid_bits(1e30f, 1, 1), -38);
}

TEST(Plan, FewValuesOfTopKAreFoldedAsTheyWereSent) {
  const auto decoded_bytes = [](double share, const kernels::Backend& backend) {
    PlanRequest request = request_for(Mean{});
    request.format = {Codec::kTopK, 0, 32, false, static_cast<std::uint32_t>(share * kWholeShare)};
    return make_plan(request, backend).value().decoded_bytes;
  };
  const std::size_t update = 16 * 65'536 * sizeof(float);
  EXPECT_EQ(decoded_bytes(0.01, cpu_backend()), 0u);
  EXPECT_EQ(decoded_bytes(0.1, cpu_backend()), update);
  EXPECT_EQ(decoded_bytes(0.01, ReferenceBackend()), update) << "takes decoded rows only";
}

TEST(Plan, GridHoldsTheWorstSum) {
  for (const float bound : {1.0f, 3.0f, 16.0f, 1000.0f})
    for (const std::uint32_t updates : {1u, 3u, 1000u, 1u << 20}) {
      const double worst = std::ldexp(double{bound} * updates * 7, grid_bits(bound, updates, 7));
      EXPECT_LE(worst, 0x1p62) << bound << " " << updates;
    }
}

TEST(Plan, RefusesACoarseGridWithItsNumbers) {
  PlanRequest request = request_for(Mean{});
  request.max_updates = 1u << 20;
  request.max_weight = 1u << 20;
  EXPECT_EQ(refusal(request),
            "grid_too_coarse: value_bound 16, 1048576 updates and max_weight 1048576 leave a grid "
            "of 2^-18, the coarsest allowed is 2^-24: lower one of the three");
}

TEST(Plan, ListsWhatATaskKeeps) {
  PlanRequest request = request_for(Krum{faulty(10)});
  request.optimiser = kernels::Optimiser::kAdam;
  const Plan plan = make_plan(request, ReferenceBackend()).value();
  EXPECT_EQ(plan.chunk_count, 16u);
  EXPECT_EQ(plan.row_bytes, 262'144u);
  EXPECT_EQ(plan.row_pitch, 262'144u + 64);
  EXPECT_TRUE(plan.resident);
  EXPECT_FALSE(plan.streaming);
  std::size_t total = 0;
  for (const MemoryItem& item : plan.memory) total += item.bytes;
  EXPECT_EQ(total, plan.peak_bytes);
  EXPECT_EQ(plan.peak_bytes, 8'000'000u + 4'000'000 + 8'000'000 + 8 * 100 * 100 + 12 * 65'536 +
                                 1000 + std::size_t{100} * (262'144 + 64) * 16);
  EXPECT_THAT(plan.describe(), HasSubstr("grid 2^-40 (resolution 9.1e-13), peak 420.0 MiB: "
                                         "accumulator 7.6 MiB, model 3.8 MiB, optimiser 7.6 MiB, "
                                         "gram matrix 78.1 KiB, centre 768.0 KiB, scratch 1000 B, "
                                         "codes of all updates 400.1 MiB"));
}

TEST(Plan, ListsWhatRowRulesKeep) {
  PlanRequest request = request_for(CentredClipping{});
  const Plan clipping = make_plan(request, ReferenceBackend()).value();
  EXPECT_FALSE(clipping.streaming);
  EXPECT_THAT(clipping.describe(), HasSubstr("previous aggregate 3.8 MiB, chunk sum 512.0 KiB"));
  request.rule = Caf{faulty(10)};
  EXPECT_THAT(make_plan(request, ReferenceBackend()).value().describe(),
              HasSubstr("gram matrix 78.1 KiB, covariance 156.2 KiB"));
  request.rule = SignMajority{};
  EXPECT_TRUE(make_plan(request, ReferenceBackend()).value().streaming);
  request.rule = GeometricMedian{};
  request.optimiser = kernels::Optimiser::kYogi;
  EXPECT_THAT(make_plan(request, ReferenceBackend()).value().describe(),
              HasSubstr("model 3.8 MiB, optimiser 7.6 MiB, scratch"));
}

TEST(Plan, StreamingRulesKeepOneUpdate) {
  PlanRequest request = request_for(Mean{});
  request.max_updates = 1'000'000;
  const Plan plan = make_plan(request, ReferenceBackend()).value();
  EXPECT_TRUE(plan.streaming);
  EXPECT_EQ(plan.peak_bytes, 8'000'000u + 4'000'000 + 1000 + std::size_t{262'144 + 64} * 16);
}

TEST(Plan, PadsRowsOfOddLength) {
  PlanRequest request = request_for(Median{});
  request.chunk_coordinates = 96;
  request.dimension = 100;
  request.format = {Codec::kI8B, 5};
  const Plan plan = make_plan(request, ReferenceBackend()).value();
  EXPECT_EQ(plan.row_bytes, 96u + 12);
  EXPECT_EQ(plan.row_pitch, 192u);
}

TEST(Plan, ReadsFromTheSpoolWhereCodesDoNotFit) {
  PlanRequest request = request_for(TrimmedMean{faulty(10)});
  request.memory_budget = 100 << 20;
  const Plan plan = make_plan(request, ReferenceBackend()).value();
  EXPECT_FALSE(plan.resident);
  EXPECT_LE(plan.peak_bytes, request.memory_budget);
  EXPECT_THAT(plan.describe(), HasSubstr("codes of one chunk of all updates 25.0 MiB"));
}

TEST(Plan, RefusesWhatDoesNotFitAndNamesEveryItem) {
  PlanRequest request = request_for(TrimmedMean{faulty(10)});
  request.memory_budget = 10 << 20;
  EXPECT_EQ(refusal(request),
            "memory_budget: trimmed_mean(f=10) over 1000000 coordinates and 100 updates needs "
            "36.5 MiB of a budget of 10.0 MiB: accumulator 7.6 MiB, model 3.8 MiB, scratch 1000 B, "
            "codes of one chunk of all updates 25.0 MiB");
}

TEST(Plan, RefusesCohortsThatCannotCarryTheRule) {
  PlanRequest request = request_for(Krum{faulty(24)});
  EXPECT_THAT(refusal(request), HasSubstr("cohort_too_small: krum(f=24, neighbours=n-f-2) with "
                                          "f = 24 needs 51 updates; a round of this task may close "
                                          "with 50"));
  request.minimum_cohort = 51;
  EXPECT_THAT(refusal(request), HasSubstr("accepted"));
  // 3 of 10 pass Krum's 2f + 3 = 9, but a share steps: at n = 7 it is enough, at n = 10 not.
  request = request_for(Krum{{std::nullopt, 0.4}});
  request.minimum_cohort = 9;
  request.max_updates = 10;
  EXPECT_THAT(refusal(request), HasSubstr("f = 4 needs 11 updates; a round of this task may close "
                                          "with 10"));
}

TEST(Plan, RefusesMoreSubsetsThanMdaMaySearch) {
  PlanRequest request = request_for(Mda{faulty(4)});
  EXPECT_THAT(refusal(request), HasSubstr("accepted"));
  request.rule = Mda{faulty(5)};
  EXPECT_EQ(refusal(request),
            "too_many_subsets: mda(f=5) over 68 rows with f = 5 has C(68, 5) > 10000000 subsets to "
            "choose from: lower max_updates or the fault bound, or put bucketing before it");
  request.pre_steps = {Bucketing{2}};
  EXPECT_THAT(refusal(request), HasSubstr("accepted"));
}

TEST(Plan, CountsWhatPreStepsNeed) {
  PlanRequest request = request_for(Median{});
  request.pre_steps = {NeighbourMixing{faulty(10)}};
  const Plan plan = make_plan(request, ReferenceBackend()).value();
  EXPECT_THAT(plan.describe(), HasSubstr("distances 234.4 KiB"));
  EXPECT_FALSE(plan.streaming);
  request.rule = Mean{};
  EXPECT_FALSE(make_plan(request, ReferenceBackend()).value().streaming);
  request.minimum_cohort = 20;
  EXPECT_THAT(
      refusal(request),
      HasSubstr("nnm(f=10), then mean with f = 10 needs 21 updates; a round of this task may "
                "close with 20"));
  request = request_for(Bulyan{faulty(10)});
  request.invalid_updates = InvalidUpdates::kZero;
  EXPECT_THAT(refusal(request), HasSubstr("gram matrix 78.1 KiB, neighbour lists 78.1 KiB, zero "
                                          "update 256.1 KiB"));
  request.rule = ClippedMean{1};
  request.pre_steps = {Bucketing{2}};
  EXPECT_THAT(refusal(request), HasSubstr("pre_step: clipped_mean takes no pre-steps"));
}

TEST(Plan, RefusesNumbersOutOfRange) {
  const auto with = [](auto change) {
    PlanRequest request = request_for(Median{});
    change(request);
    return refusal(request);
  };
  EXPECT_THAT(with([](auto& r) { r.dimension = 0; }), HasSubstr("plan_request: dimension"));
  EXPECT_THAT(with([](auto& r) { r.max_updates = 0; }), HasSubstr("plan_request: max_updates"));
  EXPECT_THAT(with([](auto& r) { r.minimum_cohort = 101; }), HasSubstr("[1, 100], it is 101"));
  EXPECT_THAT(with([](auto& r) { r.max_weight = 0; }), HasSubstr("plan_request: max_weight"));
  EXPECT_THAT(with([](auto& r) { r.value_bound = NAN; }), HasSubstr("plan_request: value_bound"));
  EXPECT_THAT(with([](auto& r) { r.chunk_coordinates = 0; }), HasSubstr("chunk_coordinates"));
  EXPECT_THAT(with([](auto& r) {
                r.dimension = 70'000 * 64;
                r.chunk_coordinates = 64;
              }),
              HasSubstr("too_many_chunks: 4480000 coordinates in chunks of 64 are 70000 chunks"));
  EXPECT_THAT(
      with([](auto& r) {
        r.format = {Codec::kI8B, 17};
      }),
      HasSubstr("rule_codec: a block of 131072 coordinates would straddle chunks of 65536"));
}

}  // namespace
}  // namespace muster::robust::testing
