// Where random inputs come from: --gtest_random_seed=N replays a run, and failures print N.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace muster::robust::testing {

inline std::uint64_t property_seed() {
  return static_cast<std::uint64_t>(::testing::UnitTest::GetInstance()->random_seed());
}

inline std::string replay_hint(int trial) {
  return "replay with --gtest_random_seed=" + std::to_string(property_seed()) + ", trial " +
         std::to_string(trial);
}

/// A generator of its own for each trial, so that one trial can be looked at alone.
inline std::mt19937_64 trial_random(int trial) {
  return std::mt19937_64(property_seed() * 1'000'003 + static_cast<std::uint64_t>(trial));
}

}  // namespace muster::robust::testing
