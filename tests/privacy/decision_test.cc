// Every row of algorithms 7.11, and every condition around it.
#include "privacy/decision.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

namespace muster::privacy {
namespace {

class EveryRow : public ::testing::TestWithParam<Decision> {};

TEST_P(EveryRow, IsAllowedWithASensitivityOrRefusedWithAWayOut) {
  const Decision& row = GetParam();
  PrivateTask task;
  task.rule = row.rule;
  task.mechanism = row.mechanism;
  const auto decided = decide(task);
  EXPECT_EQ(decided.ok(), row.allowed);
  if (row.allowed) {
    ASSERT_TRUE(decided.ok());
    EXPECT_FALSE(decided->sensitivity.zero_out.empty());
    EXPECT_FALSE(decided->sensitivity.replace_one.empty());
    EXPECT_EQ(std::string(row.reason), "");
    return;
  }
  EXPECT_EQ(decided.status().reason(), row.reason);
  const std::string message(decided.status().message());
  EXPECT_TRUE(message.starts_with("no privacy statement: ")) << message;
  EXPECT_NE(message.find(row.sentence), message.npos);
  EXPECT_TRUE(message.ends_with(row.alternative)) << message;
  EXPECT_FALSE(row.sentence.empty());
  EXPECT_FALSE(row.alternative.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Table, EveryRow, ::testing::ValuesIn(decisions().begin(), decisions().end()),
    [](const auto& row) {
      return std::string(row.param.rule).append("_").append(placement_name(row.param.mechanism));
    });

TEST(Decision, TheTableIsWholeAndEachPairIsThereOnce) {
  std::map<std::string_view, std::set<Placement>> rules;
  for (const Decision& row : decisions())
    EXPECT_TRUE(rules[row.rule].insert(row.mechanism).second) << row.rule;
  EXPECT_EQ(rules.size(), 19u);  // the 17 of robust_agg/rule.h, fltrust_fixed, flame
  for (const auto& [rule, mechanisms] : rules) EXPECT_EQ(mechanisms.size(), 4u) << rule;
}

TEST(Decision, OnlyTheseRulesMayBeNoisedAtTheirOutput) {
  std::set<std::string_view> direct;
  for (const Decision& row : decisions())
    if (row.allowed && row.mechanism == Placement::kCentral) direct.insert(row.rule);
  EXPECT_EQ(direct, (std::set<std::string_view>{"clipped_mean", "trimmed_mean", "centred_clipping",
                                                "fltrust_fixed", "sign_majority"}));
  EXPECT_EQ(find_decision("trimmed_mean", Placement::kCentral)->sensitivity.zero_out, "C/(n-2f)");
  EXPECT_EQ(find_decision("krum", Placement::kShards)->sensitivity.zero_out, "2C/G");
}

struct Case {
  const char* reason;
  std::function<void(PrivateTask&)> change;
};

const Case kCases[] = {
    {"private_metrics", [](PrivateTask& t) { t.releases_metrics = true; }},
    {"invalid_left_out", [](PrivateTask& t) { t.zero_invalid = false; }},
    {"realised_denominator", [](PrivateTask& t) { t.fixed_denominator = false; }},
    {"cohort_share", [](PrivateTask& t) { t.fixed_cohort = false; }},
    {"arc_unbounded", [](PrivateTask& t) { t.arc = true; }},
    {"clip_unnoised", [](PrivateTask& t) { t.adaptive_clip = true; }},
    {"nnm_unbounded", [](PrivateTask& t) { t.nnm = true; }},
    {"sampling_shuffled", [](PrivateTask& t) { t.sampling = "shuffled"; }},
    {"sampling_unknown", [](PrivateTask& t) { t.sampling = "somehow"; }},
    {"adjacency_unsupported", [](PrivateTask& t) { t.sampling = "fixed-size"; }},
    {"buffer_repeats",
     [](PrivateTask& t) {
       t.buffered = true;
       t.one_per_buffer = false;
     }},
    {"buffer_sampled",
     [](PrivateTask& t) {
       t.buffered = true;
       t.sampling = "poisson";
     }},
    {"start_private",
     [](PrivateTask& t) {
       t.rule = "centred_clipping";
       t.public_start = false;
     }},
    {"steps_unsummed",
     [](PrivateTask& t) {
       t.rule = "centred_clipping";
       t.iterations = 2;
     }},
    {"codec_unpaired", [](PrivateTask& t) { t.codec = "topk"; }},
    {"weights_claimed", [](PrivateTask& t) { t.weighted = true; }},
    {"rule_unknown", [](PrivateTask& t) { t.rule = "my_rule"; }},
};

TEST(Decision, EveryConditionRefusesWithItsWayOut) {
  std::set<std::string> tested;
  for (const Case& c : kCases) {
    PrivateTask task;
    task.rule = "trimmed_mean";
    ASSERT_TRUE(decide(task).ok());
    c.change(task);
    const auto decided = decide(task);
    ASSERT_FALSE(decided.ok()) << c.reason;
    EXPECT_EQ(decided.status().reason(), c.reason);
    EXPECT_EQ(decided.status().code(), Code::kInvalid);
    tested.insert(c.reason);
  }
  for (const Condition& condition : conditions()) EXPECT_TRUE(tested.contains(condition.reason));
  EXPECT_EQ(tested.size(), conditions().size());
}

TEST(Decision, WhatIsHonestIsAllowed) {
  PrivateTask task;
  task.rule = "clipped_mean";
  task.weighted = true;
  task.codec = "topk";
  EXPECT_TRUE(decide(task).ok()) << "weights to w_max, a fixed W";
  task = {};
  task.rule = "trimmed_mean";
  task.adaptive_clip = task.adaptive_clip_noised = true;
  EXPECT_TRUE(decide(task).ok());
  task.buffered = true;
  EXPECT_TRUE(decide(task).ok());
  task = {};
  task.rule = "krum";
  task.mechanism = Placement::kBuckets;
  task.nnm = true;
  EXPECT_TRUE(decide(task).ok()) << "NNM of noised buckets is post-processing";
  task = {};
  task.rule = "clipped_mean";
  task.sampling = "fixed-size";
  task.adjacency = Adjacency::kReplaceOne;
  EXPECT_TRUE(decide(task).ok());
}

}  // namespace
}  // namespace muster::privacy
