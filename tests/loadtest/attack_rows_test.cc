// What hostile devices send: every attack has a name, stays within its definition, and says what
// the codec can say.
#include "loadtest/attack_rows.h"

#include <gtest/gtest.h>

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

std::vector<float> row_of(RowAttack attack, const std::vector<std::vector<float>>& rows) {
  client::Random random(3);
  return attack_row(attack, rows, 20, 4, 1.0F, random);
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

TEST(AttackRows, MinMaxHidesAmongHonestDistances) {
  const auto rows = honest_rows();
  const auto hidden = row_of(RowAttack::kMinMax, rows);
  double among = 0, away = 0;
  for (const auto& a : rows) {
    away = std::max(away, distance(hidden, a));
    for (const auto& b : rows) among = std::max(among, distance(a, b));
  }
  EXPECT_LE(away, among * (1 + 1e-5));
  EXPECT_GT(away, among * 0.99);  // as far out as it may
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
