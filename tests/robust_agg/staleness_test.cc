#include "robust_agg/staleness.h"

#include <gtest/gtest.h>

namespace muster::robust {
namespace {

TEST(Staleness, WeightsAreWholeUnitsThatFallAndNeverVanish) {
  EXPECT_EQ(staleness_units(StalenessWeight::kConstant, 100), 1024u);
  EXPECT_EQ(staleness_units(StalenessWeight::kInverseRoot, 0), 1024u);
  EXPECT_EQ(staleness_units(StalenessWeight::kInverseRoot, 1), 724u);
  EXPECT_EQ(staleness_units(StalenessWeight::kInverseRoot, 3), 512u);
  EXPECT_EQ(staleness_units(StalenessWeight::kInverse, 2), 341u);
  EXPECT_EQ(staleness_units(StalenessWeight::kInverse, 255), 4u);
  EXPECT_EQ(staleness_units(StalenessWeight::kInverse, 1'000'000), 1u);
}

TEST(Staleness, NamesComeBack) {
  for (const auto weight :
       {StalenessWeight::kConstant, StalenessWeight::kInverseRoot, StalenessWeight::kInverse})
    EXPECT_EQ(parse_staleness_weight(staleness_weight_name(weight)), weight);
  EXPECT_FALSE(parse_staleness_weight("half"));
}

}  // namespace
}  // namespace muster::robust
