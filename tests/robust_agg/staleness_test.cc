#include "robust_agg/staleness.h"

#include <gtest/gtest.h>

#include <cmath>

namespace muster::robust {
namespace {

TEST(Staleness, IsTheRoundedPower) {
  for (std::uint32_t half_power = 0; half_power <= 16; ++half_power)
    for (std::uint64_t t = 0; t < 3000; ++t) {
      const long double exact = 1024 / std::pow(static_cast<long double>(t + 1),
                                                static_cast<long double>(half_power) / 2);
      const auto expected = std::max(1.0L, std::floor(exact + 0.5L));
      ASSERT_EQ(staleness_weight({half_power}, t), expected) << t << " to " << half_power << " / 2";
    }
}

TEST(Staleness, FallsFrom1024To1) {
  EXPECT_EQ(staleness_weight({1}, 0), kFreshWeight);
  EXPECT_EQ(staleness_weight({1}, 3), 512u);
  EXPECT_EQ(staleness_weight({1}, 1), 724u);
  EXPECT_EQ(staleness_weight({2}, 3), 256u);
  EXPECT_EQ(staleness_weight({1}, UINT64_MAX), 1u);
  EXPECT_EQ(staleness_weight({16}, UINT64_MAX), 1u);
  EXPECT_EQ(staleness_weight({0}, UINT64_MAX), kFreshWeight);
}

TEST(Staleness, ReadsNamesAndExponents) {
  EXPECT_EQ(parse_staleness("constant", 0).value().half_power, 0u);
  EXPECT_EQ(parse_staleness("square_root", 0).value().half_power, 1u);
  EXPECT_EQ(parse_staleness("polynomial", 1.5).value().half_power, 3u);
  EXPECT_EQ(parse_staleness("hinge", 0).status().reason(), "staleness_parameter");
  EXPECT_EQ(parse_staleness("constant", 1).status().reason(), "staleness_parameter");
  for (const double bad : {0.0, 0.3, -0.5, 8.5, double(NAN), double(INFINITY)})
    EXPECT_EQ(parse_staleness("polynomial", bad).status().reason(), "staleness_parameter") << bad;
}

}  // namespace
}  // namespace muster::robust
