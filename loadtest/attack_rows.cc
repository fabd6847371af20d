#include "loadtest/attack_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "loadtest/attacks.h"

namespace muster::loadtest {
namespace {

constexpr std::array<std::pair<RowAttack, std::string_view>, 19> kNames = {
    {{RowAttack::kSignFlip, "sign_flip"},
     {RowAttack::kOwnSignFlip, "own_sign_flip"},
     {RowAttack::kInnerProduct, "inner_product"},
     {RowAttack::kInnerProduct2, "fall_of_empires"},
     {RowAttack::kLittleIsEnough, "little_is_enough"},
     {RowAttack::kMimic, "mimic"},
     {RowAttack::kMinMax, "min_max"},
     {RowAttack::kMinSum, "min_sum"},
     {RowAttack::kLabelFlip, "label_flip"},
     {RowAttack::kGaussian, "gaussian"},
     {RowAttack::kZero, "zero"},
     {RowAttack::kDuplicate, "duplicate"},
     {RowAttack::kBackdoor, "backdoor"},
     {RowAttack::kOneSided, "one_sided"},
     {RowAttack::kLowNorm, "low_norm"},
     {RowAttack::kHugeNorm, "huge_norm"},
     {RowAttack::kPrecision, "precision"},
     {RowAttack::kInfinity, "infinity"},
     {RowAttack::kNotANumber, "not_a_number"}}};

using Row = std::vector<double>;

double squared_distance(std::span<const double> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double away = a[k] - static_cast<double>(b[k]);
    sum += away * away;
  }
  return sum;
}

/// Mean and standard deviation (ddof 1) by coordinate.
struct Moments {
  Row mean, sigma;
  explicit Moments(std::span<const std::vector<float>> rows)
      : mean(rows[0].size()), sigma(rows[0].size()) {
    const auto n = static_cast<double>(rows.size());
    for (const auto& row : rows)
      for (std::size_t k = 0; k < row.size(); ++k) mean[k] += static_cast<double>(row[k]) / n;
    for (const auto& row : rows)
      for (std::size_t k = 0; k < row.size(); ++k) {
        const double away = static_cast<double>(row[k]) - mean[k];
        sigma[k] += away * away / (n - 1);
      }
    for (double& value : sigma) value = std::sqrt(value);
  }
};

/// Largest gamma for which mu - gamma sigma stays within what honest rows are apart: the largest
/// distance of two, or the largest sum of squared distances of one to all (Shejwalkar and
/// Houmansadr 2021).
double hidden_gamma(std::span<const std::vector<float>> rows, const Moments& of, bool sums) {
  double allowed = 0;
  for (const auto& row : rows) {
    const Row here(row.begin(), row.end());
    double sum = 0, most = 0;
    for (const auto& other : rows) {
      const double apart = squared_distance(here, other);
      sum += apart;
      most = std::max(most, apart);
    }
    allowed = std::max(allowed, sums ? sum : most);
  }
  double low = 0, high = 1e3;
  while (high - low > 1e-5) {
    const double gamma = (low + high) / 2;
    Row row(of.mean);
    for (std::size_t k = 0; k < row.size(); ++k) row[k] -= gamma * of.sigma[k];
    double sum = 0, most = 0;
    for (const auto& other : rows) {
      const double apart = squared_distance(row, other);
      sum += apart;
      most = std::max(most, apart);
    }
    ((sums ? sum : most) <= allowed ? low : high) = gamma;
  }
  return low;
}

/// The honest row with the largest projection on the top direction of honest variance, found by a
/// few power iterations.
const std::vector<float>& mimicked(std::span<const std::vector<float>> rows, const Moments& of) {
  Row direction(of.sigma);
  Row projections(rows.size());
  for (int step = 0; step < 8; ++step) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      projections[i] = 0;
      for (std::size_t k = 0; k < direction.size(); ++k)
        projections[i] += (static_cast<double>(rows[i][k]) - of.mean[k]) * direction[k];
    }
    std::fill(direction.begin(), direction.end(), 0.0);
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (std::size_t k = 0; k < direction.size(); ++k)
        direction[k] += projections[i] * (static_cast<double>(rows[i][k]) - of.mean[k]);
    const double norm = std::sqrt(
        std::inner_product(direction.begin(), direction.end(), direction.begin(), 1e-300));
    for (double& value : direction) value /= norm;
  }
  const auto largest = std::max_element(projections.begin(), projections.end());
  return rows[static_cast<std::size_t>(largest - projections.begin())];
}

double gaussian(client::Random& random) {
  const double u = std::max(random.uniform(), 1e-16);
  return std::min(std::max(normal_quantile(u), -8.0), 8.0);
}

float impossible_value(RowAttack attack) {
  if (attack == RowAttack::kNotANumber) return std::numeric_limits<float>::quiet_NaN();
  return attack == RowAttack::kInfinity ? std::numeric_limits<float>::infinity() : 1e30F;
}

}  // namespace

std::string_view row_attack_name(RowAttack attack) {
  for (const auto& [candidate, name] : kNames)
    if (candidate == attack) return name;
  return "unknown";
}

std::optional<RowAttack> parse_row_attack(std::string_view name) {
  for (const auto& [attack, candidate] : kNames)
    if (candidate == name) return attack;
  return std::nullopt;
}

std::vector<std::string_view> row_attack_names() {
  std::vector<std::string_view> names;
  for (const auto& [attack, name] : kNames) names.push_back(name);
  return names;
}

bool is_impossible(RowAttack attack) {
  return attack == RowAttack::kPrecision || attack == RowAttack::kInfinity ||
         attack == RowAttack::kNotANumber;
}

std::vector<float> attack_row(RowAttack attack, std::span<const std::vector<float>> honest,
                              std::size_t n, std::size_t f, float bound, client::Random& random) {
  MUSTER_CHECK_OP(honest.size(), >=, std::size_t{2});
  const std::size_t d = honest[0].size();
  const Moments of(honest);
  const auto& some = honest[random.below(honest.size())];
  Row row(d);
  const auto each = [&](auto&& value_at) {
    for (std::size_t k = 0; k < d; ++k) row[k] = value_at(k);
  };
  const auto times_mean = [&](double factor) {
    each([&](std::size_t k) { return factor * of.mean[k]; });
  };
  const auto mean_less_sigma = [&](double z) {
    each([&](std::size_t k) { return of.mean[k] - z * of.sigma[k]; });
  };
  switch (attack) {
    case RowAttack::kSignFlip:
      times_mean(-1);
      break;
    case RowAttack::kOwnSignFlip:
      each([&](std::size_t k) { return -static_cast<double>(some[k]); });
      break;
    case RowAttack::kInnerProduct:
      times_mean(-0.1);
      break;
    case RowAttack::kInnerProduct2:
      times_mean(-2);
      break;
    case RowAttack::kLittleIsEnough:
      mean_less_sigma(little_is_enough_z(n, std::min(f, n - 1)));
      break;
    case RowAttack::kMimic:
      return mimicked(honest, of);
    case RowAttack::kMinMax:
      mean_less_sigma(hidden_gamma(honest, of, false));
      break;
    case RowAttack::kMinSum:
      mean_less_sigma(hidden_gamma(honest, of, true));
      break;
    case RowAttack::kLabelFlip:
      each([&](std::size_t k) { return static_cast<double>(some[k]) - 2 * of.mean[k]; });
      break;
    case RowAttack::kGaussian:
      each([&](std::size_t k) { return 10 * of.sigma[k] * gaussian(random); });
      break;
    case RowAttack::kDuplicate:
      return honest[0];
    case RowAttack::kBackdoor:
      each([&](std::size_t k) {
        return k % 16 == 0 ? static_cast<double>(n) * 10 * of.sigma[k] : of.mean[k];
      });
      break;
    case RowAttack::kOneSided:
      each([&](std::size_t k) { return of.mean[k] + 4 * of.sigma[k]; });
      break;
    case RowAttack::kLowNorm:
      times_mean(-1e-3);
      break;
    case RowAttack::kHugeNorm:
      each([&](std::size_t) { return static_cast<double>(bound); });
      break;
    case RowAttack::kZero:
    case RowAttack::kPrecision:
    case RowAttack::kInfinity:
    case RowAttack::kNotANumber:
      break;  // zeros; what they send is written into the payload (spoil)
  }
  std::vector<float> result(d);
  for (std::size_t k = 0; k < d; ++k)
    result[k] = std::clamp(static_cast<float>(row[k]), -bound, bound);
  return result;
}

bool spoil(RowAttack attack, ChunkFormat format, std::span<std::byte> payload) {
  if (!is_impossible(attack)) return false;
  const float value = impossible_value(attack);
  switch (format.codec) {
    case Codec::kF32:
    case Codec::kI8B:
    case Codec::kI4B:
    case Codec::kSign1:
      // The first value, or the first scale.
      store(payload, 0, value);
      return true;
    case Codec::kF16:
    case Codec::kBF16: {
      // Above every finite value; 1e30 does not exist in f16.
      const bool half = format.codec == Codec::kF16;
      std::uint16_t bits = half ? 0x7c00 : 0x7f80;
      if (attack == RowAttack::kNotANumber) bits |= 1;
      if (attack == RowAttack::kPrecision && !half) bits = 0x714a;
      store(payload, 0, bits);
      return true;
    }
    default:
      return false;
  }
}

}  // namespace muster::loadtest
