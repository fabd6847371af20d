#include "robust_agg/staleness.h"

#include <algorithm>
#include <cmath>

namespace muster::robust {

std::string_view staleness_weight_name(StalenessWeight weight) {
  switch (weight) {
    case StalenessWeight::kConstant:
      return "constant";
    case StalenessWeight::kInverseRoot:
      return "inverse_root";
    case StalenessWeight::kInverse:
      return "inverse";
  }
  return "";
}

std::optional<StalenessWeight> parse_staleness_weight(std::string_view name) {
  for (const auto weight :
       {StalenessWeight::kConstant, StalenessWeight::kInverseRoot, StalenessWeight::kInverse})
    if (staleness_weight_name(weight) == name) return weight;
  return std::nullopt;
}

std::uint32_t staleness_units(StalenessWeight weight, std::uint32_t staleness) {
  const double age = 1.0 + staleness;
  double share = 1;
  if (weight == StalenessWeight::kInverseRoot) share = 1 / std::sqrt(age);
  if (weight == StalenessWeight::kInverse) share = 1 / age;
  const double units = std::nearbyint(share * kStalenessUnit);
  return std::max(static_cast<std::uint32_t>(units), 1u);
}

}  // namespace muster::robust
