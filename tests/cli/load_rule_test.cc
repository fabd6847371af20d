// The rule that attackers of a load test know is the server's, whatever the size of the cohort.
#include "cli/load_rule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "client/random.h"
#include "loadtest/attack_rows.h"

namespace muster::cli {
namespace {

std::vector<std::vector<float>> rows_around(float centre, std::size_t n) {
  client::Random random(11);
  std::vector<std::vector<float>> rows(n, std::vector<float>(300));
  for (auto& row : rows)
    for (float& value : row) value = centre + 0.02F * static_cast<float>(random.uniform() - 0.5);
  return rows;
}

/// How far the rule's answer is drawn from the honest mean by an attack, in units of the mean.
double damage(const ScenarioTask& task, loadtest::RowAttack attack) {
  const auto honest = rows_around(0.05F, 32);
  client::Random random(1);
  const loadtest::AttackedCohort cohort{honest, 40, 8, 16.0F, cohort_rule(task)};
  const auto row = loadtest::attack_row(attack, cohort, random);
  EXPECT_TRUE(row.ok()) << row.status().to_string();
  auto all = honest;
  all.resize(40, row.ok() ? *row : honest[0]);
  const auto answer = cohort_rule(task)(all);
  EXPECT_TRUE(answer.ok()) << answer.status().to_string();
  double away = 0, whole = 0;
  for (std::size_t k = 0; k < answer->size(); ++k) {
    double mean = 0;
    for (const auto& other : honest) mean += static_cast<double>(other[k]) / 32;
    away += std::pow(static_cast<double>((*answer)[k]) - mean, 2);
    whole += mean * mean;
  }
  return std::sqrt(away / whole);
}

ScenarioTask task_with(const char* rule) {
  ScenarioTask task;
  task.rule = rule;
  task.dimension = 300;
  task.chunk_coordinates = 128;
  task.target_cohort = 100;
  return task;
}

TEST(CohortRule, IsTheTasksRuleInProportion) {
  const auto rows = rows_around(0.05F, 10);
  const auto mean = cohort_rule(task_with("mean"))(rows);
  ASSERT_TRUE(mean.ok()) << mean.status().to_string();
  for (std::size_t k = 0; k < mean->size(); ++k) {
    double sum = 0;
    for (const auto& row : rows) sum += static_cast<double>(row[k]);
    EXPECT_NEAR((*mean)[k], sum / 10, 1e-6);
  }
  // f = 20 of 100 are 2 of 10: one row in ten is far out, and trimmed.
  ScenarioTask trimmed = task_with("trimmed_mean");
  trimmed.parameters.f = 20;
  auto poisoned = rows;
  for (float& value : poisoned[3]) value = 9;
  const auto kept = cohort_rule(trimmed)(poisoned);
  ASSERT_TRUE(kept.ok()) << kept.status().to_string();
  for (const float value : *kept) EXPECT_NEAR(value, 0.05, 0.011);
}

TEST(CohortRule, SaysWhereTheRuleIsNotDefined) {
  ScenarioTask krum = task_with("krum");
  krum.parameters.f = 45;
  const auto rows = rows_around(0.05F, 3);
  EXPECT_FALSE(cohort_rule(krum)(rows).ok());
}

TEST(OptimalInnerProduct, DoesNoLessThanTheFixedOnesAgainstAnyRule) {
  for (const char* rule : {"mean", "trimmed_mean", "median", "krum", "multi_krum", "meamed"}) {
    ScenarioTask task = task_with(rule);
    if (std::string_view(rule) != "mean" && std::string_view(rule) != "median")
      task.parameters.byzantine_share = 0.2;
    const double aimed = damage(task, loadtest::RowAttack::kOptimalInnerProduct);
    for (const auto fixed :
         {loadtest::RowAttack::kInnerProduct, loadtest::RowAttack::kInnerProduct2})
      EXPECT_GE(aimed, damage(task, fixed) * (1 - 1e-6)) << rule;
    if (std::string_view(rule) == "mean") {
      EXPECT_GT(aimed, 10 * damage(task, loadtest::RowAttack::kInnerProduct2));
    }
  }
}

}  // namespace
}  // namespace muster::cli
