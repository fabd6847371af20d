#include "loadtest/attacks.h"

#include <array>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace muster::loadtest {
namespace {
constexpr float kBoost = 10;
constexpr std::array<std::pair<Attack, std::string_view>, 4> kNames = {
    {{Attack::kSignFlip, "sign_flip"},
     {Attack::kLittleIsEnough, "little_is_enough"},
     {Attack::kLabelFlip, "label_flip"},
     {Attack::kMixed, "mixed"}}};
}  // namespace

std::string_view attack_name(Attack attack) {
  for (const auto& [candidate, name] : kNames)
    if (candidate == attack) return name;
  return "unknown";
}

std::optional<Attack> parse_attack(std::string_view name) {
  for (const auto& [attack, candidate] : kNames)
    if (candidate == name) return attack;
  return std::nullopt;
}

void flip_sign(std::span<float> delta) {
  for (float& value : delta) value *= -kBoost;
}

double normal_quantile(double p) {
  MUSTER_CHECK(p > 0 && p < 1);
  // Bisection on erfc: 80 halvings of [-40, 40] end below 1e-22. Called once a round.
  double low = -40;
  double high = 40;
  for (int i = 0; i < 80; ++i) {
    const double middle = (low + high) / 2;
    const double phi = 0.5 * std::erfc(-middle / std::sqrt(2.0));
    (phi < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

double little_is_enough_z(std::size_t n, std::size_t f) {
  MUSTER_CHECK_OP(f, <, n);
  const std::size_t majority = n / 2 + 1;
  if (f >= majority) return 0;
  const auto h = static_cast<double>(n - f);
  const auto s = static_cast<double>(majority - f);
  const double share = (h - s) / h;
  return share > 0 && share < 1 ? normal_quantile(share) : 0;
}

std::vector<float> little_is_enough(std::span<const std::span<const float>> deltas, double z) {
  MUSTER_CHECK(!deltas.empty());
  const std::size_t d = deltas.front().size();
  const auto n = static_cast<double>(deltas.size());
  std::vector<double> mean(d, 0.0);
  std::vector<double> squares(d, 0.0);
  for (const auto& delta : deltas) {
    MUSTER_CHECK_OP(delta.size(), ==, d);
    for (std::size_t i = 0; i < d; ++i) mean[i] += static_cast<double>(delta[i]) / n;
  }
  for (const auto& delta : deltas)
    for (std::size_t i = 0; i < d; ++i) {
      const double away = static_cast<double>(delta[i]) - mean[i];
      squares[i] += away * away;
    }
  std::vector<float> row(d);
  for (std::size_t i = 0; i < d; ++i) {
    const double sigma = deltas.size() > 1 ? std::sqrt(squares[i] / (n - 1)) : 0;
    row[i] = static_cast<float>(mean[i] - z * sigma);
  }
  return row;
}

}  // namespace muster::loadtest
