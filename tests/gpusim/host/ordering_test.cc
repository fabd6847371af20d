// Right programs stay right in every order the seeds give; with one wait taken out, the same seeds
// show it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/gpusim/host/run_case.h"

namespace gpusim::host {
namespace {

constexpr int kSeeds = 9;  // 0 to 8

class RightProgram : public testing::TestWithParam<const char*> {};

TEST_P(RightProgram, IsRightOnEverySeed) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    const Outcome outcome =
        run_case(fmt::format("GPUSIM_SEED={} GPUSIM_DEVICES=2", seed), GetParam());
    EXPECT_EQ(outcome.status, 0) << "seed " << seed << "\n" << outcome.output;
  }
}

INSTANTIATE_TEST_SUITE_P(Host, RightProgram,
                         testing::Values("pipeline", "legacy_blocking", "pageable_staged",
                                         "wait_is_for_the_record_before_it", "host_functions",
                                         "registered_is_pinned", "managed_both_sides",
                                         "pitched_copy", "variable_per_device", "products",
                                         "products_of_every_orientation"),
                         [](const auto& test) { return std::string(test.param); });

struct Mutant {
  const char* name;
  const char* seeds;  // on which it must be caught
};

class Mutation : public testing::TestWithParam<Mutant> {};

TEST_P(Mutation, IsCaughtOnItsSeeds) {
  for (const char* seed = GetParam().seeds; *seed != '\0'; ++seed) {
    const Outcome outcome = run_case(fmt::format("GPUSIM_SEED={}", *seed), GetParam().name);
    EXPECT_TRUE(outcome.caught()) << "seed " << *seed << "\n" << outcome.output;
  }
}

// A seed is one legal order, and in some the fault does no harm. Running everything at the call
// (seed 0) never shows any.
INSTANTIATE_TEST_SUITE_P(Host, Mutation,
                         testing::Values(Mutant{"pipeline_no_wait_for_copy", "1345678"},
                                         Mutant{"pipeline_no_wait_for_use", "123467"},
                                         Mutant{"pipeline_refill_early", "12345678"},
                                         Mutant{"pipeline_read_early", "12345678"},
                                         Mutant{"legacy_non_blocking", "12345678"},
                                         Mutant{"synchronous_upload_then_other_stream", "12478"}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Mutation, RunningEverythingAtTheCallShowsNone) {
  EXPECT_FALSE(run_case("GPUSIM_SEED=0", "pipeline_no_wait_for_copy").caught());
}

}  // namespace
}  // namespace gpusim::host
