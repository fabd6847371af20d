// The rules under test: a rule by name, its parameters, and what is done to updates before it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "robust_agg/plan.h"

namespace muster::learning {

inline constexpr std::uint32_t kClients = 25;
inline constexpr std::uint32_t kHostile = 5;

enum class PreStep : std::uint8_t { kPlain, kNnm, kBucketing };
inline constexpr PreStep kPreSteps[] = {PreStep::kPlain, PreStep::kNnm, PreStep::kBucketing};
/// "", "nnm", "bucketing(s=2)": as a configuration writes it.
std::string_view pre_step_text(PreStep step);

/// "mean", "krum", "median", "trimmed_mean", "geometric_median", "centred_clipping".
std::span<const std::string_view> rule_names();

struct Recipe {
  std::string rule;
  PreStep pre_step = PreStep::kPlain;

  /// "krum", "nnm + krum", "bucketing + krum".
  std::string name() const;
  bool operator==(const Recipe&) const = default;
};

/// Puts rule and pre-steps into `request`, with f = kHostile where they take a bound. A Status that
/// says why where this build does not know them or does not combine them.
Status prepare(const Recipe& recipe, robust::PlanRequest& request);

}  // namespace muster::learning
