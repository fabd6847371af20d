// The catalogue's lists of label values against those who make them.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "base/metrics.h"
#include "robust_agg/rule.h"
#include "server/round.h"
#include "server/task_metrics.h"
#include "wire/reason.h"

namespace muster::server {
namespace {

std::vector<std::string_view> values(std::string_view metric, std::string_view label) {
  for (const Metric& row : metric_catalogue())
    if (row.name == metric)
      for (const MetricLabel& known : row.labels)
        if (known.name == label) return known.values;
  ADD_FAILURE() << metric << " has no label " << label;
  return {};
}

TEST(Catalogue, KnowsEveryReason) {
  std::vector<std::string_view> reasons;
  for (const auto& row : wire::reasons())
    if (row.reason != wire::Reason::kOk) reasons.emplace_back(row.token);
  EXPECT_EQ(values("muster_updates_rejected_total", "reason"), reasons);
}

template <std::size_t... I>
std::vector<std::string_view> rule_names(std::index_sequence<I...>) {
  return {robust::rule_name(robust::Rule(std::in_place_index<I>))...};
}

TEST(Catalogue, KnowsEveryRule) {
  EXPECT_EQ(values("muster_robust_excluded_total", "rule"),
            rule_names(std::make_index_sequence<std::variant_size_v<robust::Rule>>()));
}

TEST(Catalogue, KnowsEveryStateOfARound) {
  const auto states = values("muster_round_state", "state");
  EXPECT_TRUE(std::ranges::equal(states, kRoundStates));
  for (auto phase = RoundPhase::kOpen; phase <= RoundPhase::kDone;
       phase = RoundPhase(static_cast<int>(phase) + 1))
    EXPECT_NE(std::ranges::find(states, phase_name(phase)), states.end()) << phase_name(phase);
}

}  // namespace
}  // namespace muster::server
