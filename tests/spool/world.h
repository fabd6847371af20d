// One seed of the spool simulation: a disk that fails, a spool on it, and a model of what must,
// may and must not be there.
#pragma once

#include <cstdint>
#include <string>

#include "tests/spool/mutant_storage.h"

namespace muster::ingest::test {

/// What happened over all seeds, to show that the interesting things did.
struct Totals {
  std::uint64_t commits = 0;
  std::uint64_t refused_for_space = 0;
  std::uint64_t faults = 0;
  std::uint64_t faults_in_recovery = 0;
  std::uint64_t power_cycles = 0;
  std::uint64_t restarts = 0;
  std::uint64_t truncations = 0;
  std::uint64_t unacknowledged_recovered = 0;
  std::uint64_t released_came_back = 0;
  std::uint64_t flips_refused = 0;
  std::uint64_t flips_quarantined = 0;
  std::uint64_t flips_truncated = 0;
  std::uint64_t records_checked = 0;
  std::uint64_t segments = 0;
};

/// Runs one seed. Empty: all promises were kept. Else the first one that was not.
std::string simulate(std::uint64_t seed, Mutation mutation, Totals& totals);

}  // namespace muster::ingest::test
