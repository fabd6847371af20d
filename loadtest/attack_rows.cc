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

constexpr std::array<std::pair<RowAttack, std::string_view>, 25> kNames = {
    {{RowAttack::kSignFlip, "sign_flip"},
     {RowAttack::kOwnSignFlip, "own_sign_flip"},
     {RowAttack::kInnerProduct, "inner_product"},
     {RowAttack::kInnerProduct2, "fall_of_empires"},
     {RowAttack::kOptimalInnerProduct, "optimal_inner_product"},
     {RowAttack::kLittleIsEnough, "little_is_enough"},
     {RowAttack::kLittleIsEnoughFixed, "little_is_enough_fixed"},
     {RowAttack::kMimic, "mimic"},
     {RowAttack::kMinMax, "min_max"},
     {RowAttack::kMinMaxUnit, "min_max_unit"},
     {RowAttack::kMinMaxSign, "min_max_sign"},
     {RowAttack::kMinSum, "min_sum"},
     {RowAttack::kMinSumUnit, "min_sum_unit"},
     {RowAttack::kMinSumSign, "min_sum_sign"},
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

/// As many attackers as go with so many honest rows of the cohort.
std::size_t attackers_beside(std::size_t honest, const AttackedCohort& cohort) {
  const std::size_t f = std::min(cohort.f, cohort.n - 1);
  const auto share = static_cast<double>(f) / static_cast<double>(cohort.n - f);
  return std::max<std::size_t>(
      1, static_cast<std::size_t>(std::llround(share * static_cast<double>(honest))));
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

bool draws_at_random(RowAttack attack) {
  return attack == RowAttack::kOwnSignFlip || attack == RowAttack::kLabelFlip ||
         attack == RowAttack::kGaussian;
}

Result<std::vector<float>> attack_row(RowAttack attack, const AttackedCohort& cohort,
                                      client::Random& random) {
  const auto& honest = cohort.honest;
  MUSTER_CHECK_OP(honest.size(), >=, std::size_t{2});
  MUSTER_CHECK_OP(cohort.n, >=, std::size_t{2});
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
  // As far along what value_at() says as stays hidden.
  const auto hide = [&](bool sums, auto&& value_at) {
    each(value_at);
    const double gamma = hidden_gamma(honest, of.mean, row, sums);
    each([&](std::size_t k) { return of.mean[k] + gamma * row[k]; });
  };
  const auto minus_sigma = [&](std::size_t k) { return -of.sigma[k]; };
  const auto minus_sign = [&](std::size_t k) {
    return of.mean[k] > 0 ? -1.0 : of.mean[k] < 0 ? 1.0 : 0.0;
  };
  const double norm =
      std::sqrt(std::inner_product(of.mean.begin(), of.mean.end(), of.mean.begin(), 1e-300));
  const auto minus_unit = [&](std::size_t k) { return -of.mean[k] / norm; };
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
    case RowAttack::kOptimalInnerProduct: {
      if (!cohort.rule)
        return Status(Code::kInvalid, "attack_needs_rule",
                      "optimal_inner_product searches against a rule, and none is known");
      // No more honest rows than the cohort has, so that the rule meets attackers as it will.
      const std::size_t f = std::min(cohort.f, cohort.n - 1);
      const auto rows =
          honest.first(std::min(honest.size(), std::max<std::size_t>(cohort.n - f, 2)));
      MUSTER_ASSIGN(const double epsilon,
                    optimal_epsilon(rows, of.mean, attackers_beside(rows.size(), cohort),
                                    cohort.bound, cohort.rule));
      times_mean(-epsilon);
      break;
    }
    case RowAttack::kLittleIsEnough:
      mean_less_sigma(little_is_enough_z(cohort.n, std::min(cohort.f, cohort.n - 1)));
      break;
    case RowAttack::kLittleIsEnoughFixed:
      mean_less_sigma(-1.5);
      break;
    case RowAttack::kMimic:
      return mimicked(honest, of);
    case RowAttack::kMinMax:
      hide(false, minus_sigma);
      break;
    case RowAttack::kMinMaxUnit:
      hide(false, minus_unit);
      break;
    case RowAttack::kMinMaxSign:
      hide(false, minus_sign);
      break;
    case RowAttack::kMinSum:
      hide(true, minus_sigma);
      break;
    case RowAttack::kMinSumUnit:
      hide(true, minus_unit);
      break;
    case RowAttack::kMinSumSign:
      hide(true, minus_sign);
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
        return k % 16 == 0 ? static_cast<double>(cohort.n) * 10 * of.sigma[k] : of.mean[k];
      });
      break;
    case RowAttack::kOneSided:
      each([&](std::size_t k) { return of.mean[k] + 4 * of.sigma[k]; });
      break;
    case RowAttack::kLowNorm:
      times_mean(-1e-3);
      break;
    case RowAttack::kHugeNorm:
      each([&](std::size_t) { return static_cast<double>(cohort.bound); });
      break;
    case RowAttack::kZero:
    case RowAttack::kPrecision:
    case RowAttack::kInfinity:
    case RowAttack::kNotANumber:
      break;  // zeros; what they send is written into the payload (spoil)
  }
  std::vector<float> result(d);
  for (std::size_t k = 0; k < d; ++k)
    result[k] = std::clamp(static_cast<float>(row[k]), -cohort.bound, cohort.bound);
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
