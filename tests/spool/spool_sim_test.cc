// The durable path under a disk that tears, drops, fails and fills up, by seeds (reliability R2).
// MUSTER_SIM_SEEDS: how many; MUSTER_SIM_SEED: only this one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/spool/world.h"

namespace muster::ingest::test {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(SpoolSimulation, KeepsItsPromisesOnEverySeed) {
  Totals totals;
  const std::uint64_t only = from_environment("MUSTER_SIM_SEED", 0);
  const std::uint64_t count = from_environment("MUSTER_SIM_SEEDS", 20'000);
  const std::uint64_t first = only > 0 ? only : 1;
  const std::uint64_t last = only > 0 ? only : count;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const std::string violation = simulate(seed, Mutation::kNone, totals);
    EXPECT_EQ(violation, "") << "replay with MUSTER_SIM_SEED=" << seed;
    if (HasFailure()) return;
  }
  std::printf(
      "seeds %llu..%llu: commits %llu, refused for space %llu, faults %llu, in recovery %llu, "
      "power "
      "cycles %llu, restarts %llu, truncated tails %llu, unacknowledged recovered %llu, released "
      "came back %llu, flips refused/quarantined/in the last group %llu/%llu/%llu, records checked "
      "%llu, segments recovered %llu\n",
      static_cast<unsigned long long>(first), static_cast<unsigned long long>(last),
      static_cast<unsigned long long>(totals.commits),
      static_cast<unsigned long long>(totals.refused_for_space),
      static_cast<unsigned long long>(totals.faults),
      static_cast<unsigned long long>(totals.faults_in_recovery),
      static_cast<unsigned long long>(totals.power_cycles),
      static_cast<unsigned long long>(totals.restarts),
      static_cast<unsigned long long>(totals.truncations),
      static_cast<unsigned long long>(totals.unacknowledged_recovered),
      static_cast<unsigned long long>(totals.released_came_back),
      static_cast<unsigned long long>(totals.flips_refused),
      static_cast<unsigned long long>(totals.flips_quarantined),
      static_cast<unsigned long long>(totals.flips_truncated),
      static_cast<unsigned long long>(totals.records_checked),
      static_cast<unsigned long long>(totals.segments));
}

class PlantedBug : public testing::TestWithParam<Mutation> {};

TEST_P(PlantedBug, IsFound) {
  Totals totals;
  constexpr std::uint64_t kSeeds = 2'000;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const std::string violation = simulate(seed, GetParam(), totals);
    if (violation.empty()) continue;
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), violation.c_str());
    return;
  }
  FAIL() << "not noticed in " << kSeeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(Storage, PlantedBug,
                         testing::Values(Mutation::kDropSync, Mutation::kDropDirectorySync,
                                         Mutation::kHideSyncError, Mutation::kHideWriteError,
                                         Mutation::kLoseLastPiece, Mutation::kReadStale));

}  // namespace
}  // namespace muster::ingest::test
