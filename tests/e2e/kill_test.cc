// kill -9 of the real server at points spread over ingest, seal, aggregate and release (R1):
// nothing acknowledged is lost, nothing counts twice, and the released bytes are those of an
// undisturbed run.
#include <gtest/gtest.h>

#include "tests/e2e/kill_run.h"

namespace muster::e2e {
namespace {

TEST(KillTest, LosesNothingAndCountsNothingTwice) {
  const int points = kill_points(60) / 2;
  for (const char* rule : {"rule = \"mean\"", "rule = \"trimmed_mean\"\nf = 1"}) {
    KillCase with;
    with.task = rule;
    EXPECT_EQ(sweep_kills(with, points), points);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace muster::e2e
