#include "tests/learning/recipe.h"

#include <array>

#include "robust_agg/pre_step.h"

namespace muster::learning {
namespace {

constexpr std::array<std::string_view, 6> kRules = {
    "mean", "krum", "median", "trimmed_mean", "geometric_median", "centred_clipping"};

// docs/learning.md, "Settings": near the distance of an honest update from the aggregate.
constexpr double kTau = 2;
constexpr double kSmoothing = 0.1;

robust::RuleParameters parameters_of(std::string_view rule) {
  robust::RuleParameters parameters;
  if (rule == "krum" || rule == "trimmed_mean") parameters.f = kHostile;
  if (rule == "geometric_median") {
    parameters.smoothing = kSmoothing;
    parameters.iterations = 8;
  }
  if (rule == "centred_clipping") {
    parameters.tau = kTau;
    parameters.iterations = 3;
  }
  return parameters;
}

}  // namespace

std::string_view pre_step_text(PreStep step) {
  switch (step) {
    case PreStep::kPlain:
      return "";
    case PreStep::kNnm:
      return "nnm";
    case PreStep::kBucketing:
      return "bucketing(s=2)";
  }
  return "";
}

std::span<const std::string_view> rule_names() { return kRules; }

std::string Recipe::name() const {
  switch (pre_step) {
    case PreStep::kPlain:
      return rule;
    case PreStep::kNnm:
      return "nnm + " + rule;
    case PreStep::kBucketing:
      return "bucketing + " + rule;
  }
  return rule;
}

Status prepare(const Recipe& recipe, robust::PlanRequest& request) {
  MUSTER_ASSIGN(request.rule, robust::parse_rule(recipe.rule, parameters_of(recipe.rule)));
  if (recipe.pre_step == PreStep::kPlain) return {};
  std::string text(pre_step_text(recipe.pre_step));
  // Where the rule has no bound of its own, nnm names it.
  if (recipe.pre_step == PreStep::kNnm && robust::fault_bound(request.rule).of(kClients) == 0)
    text += "(f=" + std::to_string(kHostile) + ")";
  MUSTER_ASSIGN(request.pre_steps, robust::parse_pre_steps(std::array{text}, request.rule));
  return {};
}

}  // namespace muster::learning
