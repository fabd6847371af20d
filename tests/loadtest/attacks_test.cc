#include "loadtest/attacks.h"

#include <gtest/gtest.h>

#include <cmath>

namespace muster::loadtest {
namespace {

TEST(LittleIsEnough, HasThePublishedShifts) {
  // algorithms: n, f -> z.
  EXPECT_NEAR(little_is_enough_z(10, 2), 0.0, 1e-9);
  EXPECT_NEAR(little_is_enough_z(20, 3), 0.0738, 5e-5);
  EXPECT_NEAR(little_is_enough_z(25, 5), 0.2533, 5e-5);
  EXPECT_NEAR(little_is_enough_z(25, 11), 1.0676, 5e-5);
  EXPECT_NEAR(little_is_enough_z(50, 12), 0.3360, 5e-5);
  EXPECT_NEAR(little_is_enough_z(50, 24), 1.4261, 5e-5);
  EXPECT_NEAR(little_is_enough_z(100, 20), 0.2858, 5e-5);
}

TEST(LittleIsEnough, NeedsNoShiftWithAMajority) { EXPECT_EQ(little_is_enough_z(10, 6), 0.0); }

TEST(LittleIsEnough, ShiftsTheMeanByStandardDeviations) {
  const std::vector<float> a = {1, 5};
  const std::vector<float> b = {3, 5};
  const std::vector<std::span<const float>> both = {a, b};
  const auto row = little_is_enough(both, 2);
  EXPECT_NEAR(row[0], 2 - 2 * std::sqrt(2.0), 1e-6);
  EXPECT_EQ(row[1], 5.0F);
}

TEST(LittleIsEnough, OfOneColluderIsItsOwnDelta) {
  const std::vector<float> a = {1, -5};
  const std::vector<std::span<const float>> alone = {a};
  EXPECT_EQ(little_is_enough(alone, 3), a);
}

TEST(NormalQuantile, InvertsTheDistribution) {
  EXPECT_NEAR(normal_quantile(0.5), 0.0, 1e-12);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-12);
  EXPECT_NEAR(normal_quantile(1e-9), -5.997807014985674, 1e-9);
}

TEST(SignFlip, TurnsAndAmplifies) {
  std::vector<float> delta = {1, -2, 0};
  flip_sign(delta);
  EXPECT_EQ(delta, (std::vector<float>{-10, 20, 0}));
}

TEST(Attack, NamesComeBack) {
  for (const Attack attack :
       {Attack::kSignFlip, Attack::kLittleIsEnough, Attack::kLabelFlip, Attack::kMixed})
    EXPECT_EQ(parse_attack(attack_name(attack)), attack);
  EXPECT_EQ(parse_attack("polite"), std::nullopt);
}

}  // namespace
}  // namespace muster::loadtest
