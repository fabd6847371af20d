#include "tests/learning/attacks.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "loadtest/attacks.h"

namespace muster::learning {
namespace {

constexpr float kIpmShare = 0.1F;
constexpr float kBoostFactor = 10;

std::vector<float> mean_of(const Rows& rows) {
  std::vector<float> mean(rows.at(0).size());
  for (const auto& row : rows)
    for (std::size_t k = 0; k < mean.size(); ++k) mean[k] += row[k];
  for (float& value : mean) value /= static_cast<float>(rows.size());
  return mean;
}

std::vector<float> scaled(std::vector<float> row, float factor) {
  for (float& value : row) value *= factor;
  return row;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k)
    sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
  return sum;
}

void normalise(std::vector<float>& v) {
  const double norm = std::sqrt(dot(v, v));
  if (norm > 0) v = scaled(std::move(v), static_cast<float>(1 / norm));
}

std::vector<float> little_is_enough(const Rows& honest, std::size_t f) {
  const std::vector<std::span<const float>> views(honest.begin(), honest.end());
  return loadtest::little_is_enough(views, loadtest::little_is_enough_z(honest.size() + f, f));
}

}  // namespace

std::string_view attack_name(Attack attack) {
  switch (attack) {
    case Attack::kNone:
      return "none";
    case Attack::kAlie:
      return "ALIE";
    case Attack::kBitFlip:
      return "bit flip";
    case Attack::kIpm:
      return "IPM";
    case Attack::kLabelFlip:
      return "label flip";
    case Attack::kMimic:
      return "mimic";
    case Attack::kBoost:
      return "boost";
  }
  return "unknown";
}

std::optional<Attack> parse_attack(std::string_view name) {
  for (const Attack attack : kAttacks)
    if (attack_name(attack) == name) return attack;
  return std::nullopt;
}

std::size_t MimicTarget::choose(const Rows& honest) {
  if (round_ >= warm_up_) return target_;
  const std::vector<float> mean = mean_of(honest);
  if (direction_.empty()) {
    direction_ = honest.at(0);
    for (std::size_t k = 0; k < mean.size(); ++k) direction_[k] -= mean[k];
    normalise(direction_);
  }
  // direction <- (t direction + sum of deviations weighted by their projection) / (t + 1)
  std::vector<float> pull(mean.size());
  std::vector<float> away(mean.size());
  double furthest = -1;
  for (std::size_t i = 0; i < honest.size(); ++i) {
    for (std::size_t k = 0; k < mean.size(); ++k) away[k] = honest[i][k] - mean[k];
    const double projection = dot(away, direction_);
    for (std::size_t k = 0; k < mean.size(); ++k)
      pull[k] += static_cast<float>(projection) * away[k];
    if (std::abs(projection) > furthest) {
      furthest = std::abs(projection);
      target_ = i;
    }
  }
  normalise(pull);
  const auto t = static_cast<float>(++round_);
  for (std::size_t k = 0; k < mean.size(); ++k)
    direction_[k] = (t * direction_[k] + pull[k]) / (t + 1);
  normalise(direction_);
  return target_;
}

Rows hostile_rows(Attack attack, const Rows& honest, const Rows& own, std::size_t count,
                  MimicTarget& mimic) {
  switch (attack) {
    case Attack::kAlie:
      return Rows(count, little_is_enough(honest, count));
    case Attack::kIpm:
      return Rows(count, scaled(mean_of(honest), -kIpmShare));
    case Attack::kBoost:
      return Rows(count, scaled(mean_of(honest), -kBoostFactor));
    case Attack::kMimic:
      return Rows(count, honest[mimic.choose(honest)]);
    case Attack::kBitFlip: {
      Rows rows;
      for (std::size_t i = 0; i < count; ++i) rows.push_back(scaled(own.at(i), -1));
      return rows;
    }
    case Attack::kLabelFlip:
      return Rows(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(count));
    case Attack::kNone:
      break;
  }
  MUSTER_CHECK(false && "nobody is hostile");
  return {};
}

}  // namespace muster::learning
