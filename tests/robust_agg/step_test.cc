#include "robust_agg/step.h"

#include <gmock/gmock.h>

#include "tests/robust_agg/run.h"

namespace muster::robust::testing {
namespace {

using kernels::Optimiser;

constexpr std::size_t kDimension = 2;
constexpr Optimiser kOptimisers[] = {Optimiser::kSgd, Optimiser::kMomentum, Optimiser::kAdam,
                                     Optimiser::kYogi, Optimiser::kAdagrad};

/// Steps with the deltas 1 and -0.5, then 0.25 and 4, then 0 and 1, as the means of two updates.
class Step : public ::testing::TestWithParam<bool> {
 protected:
  Status step(const StepParameters& parameters, const Vector& delta, ModelState& state) {
    const Plan plan = plan_for({.rule = Mean{}}, 2, kDimension, backend());
    Outcome outcome;
    outcome.divisor = 2;
    const kernels::Buffer sum = backend().allocate(8 * kDimension).value();
    std::vector<std::int64_t> values;
    for (const double x : delta)
      values.push_back(static_cast<std::int64_t>(std::ldexp(2 * x, plan.grid_bits)));
    backend().upload(sum.data, std::as_bytes(std::span(values)), kernels::Stream::kCompute);
    const std::size_t before = backend().allocated_bytes();
    Status status = apply_step(backend(), parameters, plan, outcome, sum.as<std::int64_t>(), state);
    EXPECT_EQ(backend().allocated_bytes(), before);
    backend().release(sum);
    return status;
  }

  ModelState after_three(const StepParameters& parameters) {
    ModelState state;
    state.values = {10, 20};
    for (const Vector& delta : {Vector{1, -0.5}, Vector{0.25, 4}, Vector{0, 1}})
      EXPECT_TRUE(step(parameters, delta, state).ok());
    return state;
  }

  kernels::Backend& backend() { return GetParam() ? cpu_backend() : reference_; }

 private:
  ReferenceBackend reference_;
};

TEST_P(Step, SgdAddsTheScaledAverage) {
  const ModelState state = after_three({.optimiser = Optimiser::kSgd, .learning_rate = 0.5});
  EXPECT_THAT(state.values, ::testing::ElementsAre(10.625f, 22.25f));
  EXPECT_TRUE(state.first.empty());
  EXPECT_TRUE(state.second.empty());
}

TEST_P(Step, MomentumKeepsADecayingSum) {
  // first: 1, 0.75, 0.375 and -0.5, 3.75, 2.875; all exact in f32.
  const ModelState state =
      after_three({.optimiser = Optimiser::kMomentum, .learning_rate = 0.5, .beta1 = 0.5});
  EXPECT_THAT(state.first, ::testing::ElementsAre(0.375f, 2.875f));
  EXPECT_THAT(state.values, ::testing::ElementsAre(10 + 0.5f * 2.125f, 20 + 0.5f * 6.125f));
  EXPECT_TRUE(state.second.empty());
}

TEST_P(Step, AdamDividesByTheRootOfTheSecondMoment) {
  // beta1 = beta2 = 1/2. first: 0.5, 0.375, 0.1875; second: 0.5, 0.28125, 0.140625.
  const ModelState state = after_three({.optimiser = Optimiser::kAdam,
                                        .learning_rate = 1,
                                        .beta1 = 0.5,
                                        .beta2 = 0.5,
                                        .epsilon = 0.125});
  EXPECT_EQ(state.first[0], 0.1875f);
  EXPECT_EQ(state.second[0], 0.140625f);
  EXPECT_NEAR(state.values[0],
              10 + 0.5 / (std::sqrt(0.5) + 0.125) + 0.375 / (std::sqrt(0.28125) + 0.125) +
                  0.1875 / (0.375 + 0.125),
              2e-6);
  // The other coordinate. first: -0.25, 1.875, 1.4375; second: 0.125, 8.0625, 4.53125.
  EXPECT_EQ(state.first[1], 1.4375f);
  EXPECT_EQ(state.second[1], 4.53125f);
  EXPECT_NEAR(state.values[1],
              20 - 0.25 / (std::sqrt(0.125) + 0.125) + 1.875 / (std::sqrt(8.0625) + 0.125) +
                  1.4375 / (std::sqrt(4.53125) + 0.125),
              4e-6);
}

TEST_P(Step, YogiMovesTheSecondMomentByItsSignOnly) {
  // epsilon 1/8: second starts at 1/64. beta2 = 1/2. Coordinate 0: 1/64 + 1/2 * 1, then - 1/2 *
  // 1/16, then delta is 0 and nothing moves.
  const ModelState state = after_three({.optimiser = Optimiser::kYogi,
                                        .learning_rate = 1,
                                        .beta1 = 0,
                                        .beta2 = 0.5,
                                        .epsilon = 0.125});
  const double first = 1.0 / 64 + 0.5, second = first - 0.5 / 16;
  EXPECT_EQ(state.second[0], static_cast<float>(second));
  EXPECT_EQ(state.first[0], 0);
  EXPECT_NEAR(state.values[0],
              10 + 1 / (std::sqrt(first) + 0.125) + 0.25 / (std::sqrt(second) + 0.125), 2e-6);
}

TEST_P(Step, AdagradAddsSquares) {
  const ModelState state = after_three({.optimiser = Optimiser::kAdagrad,
                                        .learning_rate = 1,
                                        .beta1 = 0,
                                        .beta2 = 0.5,
                                        .epsilon = 0.125});
  EXPECT_EQ(state.second[0], static_cast<float>(1.0 / 64 + 1 + 0.0625));
  EXPECT_EQ(state.second[1], static_cast<float>(1.0 / 64 + 0.25 + 16 + 1));
  EXPECT_NEAR(state.values[1],
              20 - 0.5 / (std::sqrt(1.0 / 64 + 0.25) + 0.125) +
                  4 / (std::sqrt(1.0 / 64 + 16.25) + 0.125) +
                  1 / (std::sqrt(1.0 / 64 + 17.25) + 0.125),
              4e-6);
}

TEST_P(Step, KeepsTheAggregateForRulesThatStartFromIt) {
  const Rule rule = CentredClipping{};
  const Plan plan = plan_for({.rule = rule}, 2, 2, backend());
  Outcome outcome;
  outcome.divisor = 3;
  const std::int64_t sum[] = {std::int64_t{3} << plan.grid_bits,
                              -(std::int64_t{1} << plan.grid_bits)};
  ModelState state;
  state.values = {10, 20};
  ASSERT_TRUE(apply_step(backend(), {.optimiser = Optimiser::kMomentum, .learning_rate = 0.5}, plan,
                         outcome, sum, state)
                  .ok());
  EXPECT_THAT(state.aggregate, ::testing::ElementsAre(1.0f, static_cast<float>(-1.0 / 3)));
  EXPECT_EQ(state.values[0], 10.5f);
}

TEST_P(Step, BackendsGiveEqualBits) {
  ReferenceBackend reference;
  for (const Optimiser optimiser : kOptimisers) {
    const StepParameters parameters{
        .optimiser = optimiser, .learning_rate = 0.3, .beta1 = 0.9, .beta2 = 0.99};
    const Plan plan = plan_for({.rule = Mean{}}, 3, 1000, reference);
    std::vector<std::int64_t> sum(1000);
    ModelState a, b;
    for (std::size_t k = 0; k < sum.size(); ++k) {
      sum[k] = (static_cast<std::int64_t>(k) - 500) * 987'654'321;
      a.values.push_back(1.0f / static_cast<float>(k + 3));
    }
    b = a;
    Outcome outcome;
    outcome.divisor = 3;
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(apply_step(reference, parameters, plan, outcome, sum.data(), a).ok());
      ASSERT_TRUE(apply_step(cpu_backend(), parameters, plan, outcome, sum.data(), b).ok());
    }
    EXPECT_EQ(a.values, b.values);
    EXPECT_EQ(a.first, b.first);
    EXPECT_EQ(a.second, b.second);
  }
}

TEST_P(Step, RefusesAModelThatLeavesF32AndLeavesItAlone) {
  ModelState state;
  state.values = {1, -3e38f};
  state.first = {0.5f, 0.25f};
  const Status status =
      step({.optimiser = Optimiser::kMomentum, .learning_rate = 3e38}, {0.25, -8}, state);
  EXPECT_EQ(status.reason(), "model_not_finite");
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("the model would leave f32"));
  EXPECT_THAT(state.values, ::testing::ElementsAre(1, -3e38f));
  EXPECT_THAT(state.first, ::testing::ElementsAre(0.5f, 0.25f));
}

INSTANTIATE_TEST_SUITE_P(Backends, Step, ::testing::Bool(),
                         [](const auto& backend) { return backend.param ? "Cpu" : "Reference"; });

TEST(StepMemory, AFullBackendIsAStatus) {
  ReferenceBackend backend(true, 3 * 4 * kDimension);
  const Plan plan = plan_for({.rule = Mean{}}, 1, kDimension, backend);
  ModelState state;
  state.values = {1, 2};
  const std::int64_t sum[] = {0, 0};
  EXPECT_TRUE(apply_step(backend, {.optimiser = Optimiser::kAdam}, plan, {}, sum, state).ok());
  ReferenceBackend small(true, 2 * 4 * kDimension);
  const Status status = apply_step(small, {.optimiser = Optimiser::kAdam}, plan, {}, sum, state);
  EXPECT_EQ(status.reason(), "backend_memory");
  EXPECT_EQ(small.allocated_bytes(), 0u);
}

TEST(StepParameters, RangesAreChecked) {
  EXPECT_TRUE(check(StepParameters{}).ok());
  const auto reason = [](StepParameters parameters) {
    return std::string(check(parameters).message());
  };
  for (const double bad : {0.0, -1.0, double(NAN), double(INFINITY)}) {
    EXPECT_THAT(reason({.learning_rate = bad}), ::testing::StartsWith("learning_rate"));
    EXPECT_THAT(reason({.epsilon = bad}), ::testing::StartsWith("epsilon"));
  }
  for (const double bad : {1.0, -0.1, double(NAN)}) {
    EXPECT_THAT(reason({.beta1 = bad}), ::testing::StartsWith("beta1"));
    EXPECT_THAT(reason({.beta2 = bad}), ::testing::StartsWith("beta2"));
  }
  EXPECT_EQ(check({.learning_rate = 0}).reason(), "step_parameter");
}

TEST(Optimiser, NamesReadBack) {
  for (const Optimiser optimiser : kOptimisers)
    EXPECT_EQ(parse_optimiser(optimiser_name(optimiser)), optimiser);
  EXPECT_FALSE(parse_optimiser("Adam").has_value());
}

}  // namespace
}  // namespace muster::robust::testing
