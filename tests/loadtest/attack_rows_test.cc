// What hostile devices send: every attack has a name, stays within its definition, and says what
// the codec can say.
#include "loadtest/attack_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace muster::loadtest {
namespace {

std::vector<std::vector<float>> honest_rows() {
  client::Random random(7);
  std::vector<std::vector<float>> rows(12, std::vector<float>(40));
  for (auto& row : rows)
    for (std::size_t k = 0; k < row.size(); ++k)
      row[k] = 0.1F * static_cast<float>(k % 3) + 0.05F * static_cast<float>(random.uniform());
  return rows;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double away = static_cast<double>(a[k]) - static_cast<double>(b[k]);
    sum += away * away;
  }
  return std::sqrt(sum);
}

std::vector<float> mean_of(std::span<const std::vector<float>> rows) {
  std::vector<float> mean(rows[0].size());
  for (const auto& row : rows)
    for (std::size_t k = 0; k < row.size(); ++k)
      mean[k] += row[k] / static_cast<float>(rows.size());
  return mean;
}

std::vector<float> row_of(RowAttack attack, const std::vector<std::vector<float>>& rows,
                          const CohortRule& rule = mean_of) {
  client::Random random(3);
  const auto row = attack_row(attack, {rows, 20, 4, 1.0F, rule}, random);
  EXPECT_TRUE(row.ok()) << row.status().to_string();
  return row.ok() ? *row : std::vector<float>();
}

TEST(AttackRows, NamesAndAttacksAreOneToOne) {
  for (const std::string_view name : row_attack_names())
    EXPECT_EQ(row_attack_name(parse_row_attack(name).value()), name);
  EXPECT_FALSE(parse_row_attack("kindness"));
}

TEST(AttackRows, AllAreFiniteAndWithinTheBound) {
  const auto rows = honest_rows();
  for (const std::string_view name : row_attack_names()) {
    const auto row = row_of(parse_row_attack(name).value(), rows);
    ASSERT_EQ(row.size(), 40U) << name;
    for (const float value : row) EXPECT_LE(std::fabs(value), 1.0F) << name;
  }
}

TEST(AttackRows, SignFlipAndFallOfEmpiresFollowTheMean) {
  const auto rows = honest_rows();
  const auto flipped = row_of(RowAttack::kSignFlip, rows);
  const auto twice = row_of(RowAttack::kInnerProduct2, rows);
  for (std::size_t k = 0; k < flipped.size(); ++k) {
    double mean = 0;
    for (const auto& row : rows) mean += static_cast<double>(row[k]) / 12;
    EXPECT_NEAR(flipped[k], -mean, 1e-6);
    EXPECT_NEAR(twice[k], -2 * mean, 1e-6);
  }
}

TEST(AttackRows, MinMaxHidesAmongHonestDistancesInEachDirection) {
  const auto rows = honest_rows();
  const auto mean = mean_of(rows);
  double among = 0;
  for (const auto& a : rows)
    for (const auto& b : rows) among = std::max(among, distance(a, b));
  for (const RowAttack attack :
       {RowAttack::kMinMax, RowAttack::kMinMaxUnit, RowAttack::kMinMaxSign}) {
    const auto hidden = row_of(attack, rows);
    double away = 0;
    for (const auto& a : rows) away = std::max(away, distance(hidden, a));
    EXPECT_LE(away, among * (1 + 1e-5)) << row_attack_name(attack);
    EXPECT_GT(away, among * 0.99) << row_attack_name(attack);  // as far out as it may
    for (std::size_t k = 0; k < mean.size(); ++k)
      EXPECT_LT(hidden[k], mean[k]) << row_attack_name(attack);
  }
  // Along the signs every coordinate moves alike, along the mean in proportion to it.
  const auto signs = row_of(RowAttack::kMinMaxSign, rows);
  const auto unit = row_of(RowAttack::kMinMaxUnit, rows);
  for (std::size_t k = 0; k < mean.size(); ++k) {
    EXPECT_NEAR(mean[k] - signs[k], mean[0] - signs[0], 1e-5);
    EXPECT_NEAR((mean[k] - unit[k]) / mean[k], (mean[0] - unit[0]) / mean[0], 1e-4);
  }
}

TEST(AttackRows, MinSumHidesAmongSumsOfHonestDistancesInEachDirection) {
  const auto rows = honest_rows();
  const auto sum_of = [&](const std::vector<float>& from) {
    double sum = 0;
    for (const auto& row : rows) sum += distance(from, row) * distance(from, row);
    return sum;
  };
  double among = 0;
  for (const auto& row : rows) among = std::max(among, sum_of(row));
  for (const RowAttack attack :
       {RowAttack::kMinSum, RowAttack::kMinSumUnit, RowAttack::kMinSumSign}) {
    const double away = sum_of(row_of(attack, rows));
    EXPECT_LE(away, among * (1 + 1e-5)) << row_attack_name(attack);
    EXPECT_GT(away, among * 0.99) << row_attack_name(attack);
  }
}

TEST(AttackRows, TheFixedShiftIsOneAndAHalfDeviations) {
  const std::vector<std::vector<float>> rows = {{0.1F, 0.5F}, {0.3F, 0.5F}};
  const auto row = row_of(RowAttack::kLittleIsEnoughFixed, rows);
  EXPECT_NEAR(row[0], 0.2 + 1.5 * 0.1 * std::sqrt(2.0), 1e-6);
  EXPECT_EQ(row[1], 0.5F);
}

TEST(AttackRows, TheOptimalProductGoesAsFarAsTheRuleLetsIt) {
  const auto rows = honest_rows();
  const auto mean = mean_of(rows);
  // A mean may be drawn as far as the bound allows.
  for (const float value : row_of(RowAttack::kOptimalInnerProduct, rows)) EXPECT_EQ(value, -1.0F);
  // This rule leaves out what is longer than three times the mean of honest rows.
  const double most = 3 * distance(mean, std::vector<float>(mean.size()));
  std::size_t asked = 0;
  const CohortRule filter = [&](std::span<const std::vector<float>> cohort) {
    ++asked;
    EXPECT_EQ(cohort.size(), 15U);  // 4 hostile of 20 are 3 beside 12
    std::vector<std::vector<float>> kept;
    for (const auto& row : cohort)
      if (distance(row, std::vector<float>(row.size())) <= most) kept.push_back(row);
    return mean_of(kept);
  };
  const auto aimed = row_of(RowAttack::kOptimalInnerProduct, rows, filter);
  EXPECT_EQ(asked, 20U);
  for (std::size_t k = 0; k < mean.size(); ++k) {
    EXPECT_LE(-aimed[k] / mean[k], 3.0001);
    EXPECT_GE(-aimed[k] / mean[k], 2.5);
  }
}

TEST(AttackRows, TheOptimalProductNeedsARuleAndPassesOnWhyItFails) {
  const auto rows = honest_rows();
  client::Random random(3);
  EXPECT_EQ(
      attack_row(RowAttack::kOptimalInnerProduct, {rows, 20, 4, 1.0F}, random).status().reason(),
      "attack_needs_rule");
  const CohortRule broken = [](std::span<const std::vector<float>>) {
    return Result<std::vector<float>>(Status(Code::kInvalid, "cohort_too_small", "too few"));
  };
  EXPECT_EQ(attack_row(RowAttack::kOptimalInnerProduct, {rows, 20, 4, 1.0F, broken}, random)
                .status()
                .reason(),
            "cohort_too_small");
}

TEST(MostDamagingScale, FindsAPeakBehindAndBeforeTheFirstStep) {
  for (const double peak : {0.0, 0.7, 10.0, 23.0, 400.0}) {
    int asked = 0;
    const auto scale = most_damaging_scale([&](double at) -> Result<double> {
      ++asked;
      EXPECT_GE(at, 0);
      return -std::fabs(at - peak);
    });
    EXPECT_NEAR(scale.value(), peak, 0.2 * peak + 0.5);
    EXPECT_EQ(asked, 20);
  }
}

TEST(AttackRows, MimicAndDuplicateAreHonestRows) {
  const auto rows = honest_rows();
  for (const RowAttack attack : {RowAttack::kMimic, RowAttack::kDuplicate}) {
    const auto row = row_of(attack, rows);
    EXPECT_NE(std::find(rows.begin(), rows.end(), row), rows.end());
  }
}

TEST(AttackRows, TheImpossibleIsWrittenWhereTheCodecHasAPlaceForIt) {
  std::vector<std::byte> payload(64);
  float first = 0;
  EXPECT_TRUE(spoil(RowAttack::kNotANumber, {Codec::kI8B, 8}, payload));
  std::memcpy(&first, payload.data(), sizeof first);
  EXPECT_TRUE(std::isnan(first));
  EXPECT_TRUE(spoil(RowAttack::kPrecision, {Codec::kF32}, payload));
  std::memcpy(&first, payload.data(), sizeof first);
  EXPECT_EQ(first, 1e30F);
  EXPECT_FALSE(spoil(RowAttack::kInfinity, {Codec::kI8S, 8}, payload));
  EXPECT_FALSE(spoil(RowAttack::kSignFlip, {Codec::kF32}, payload));
}

}  // namespace
}  // namespace muster::loadtest
