#include "server/task_metrics.h"

namespace muster::server {
namespace {

Histogram& stage(Stats& stats, const std::string& task, const char* name) {
  return stats.histogram("muster_round_duration_seconds", {{"task", task}, {"stage", name}});
}

Counter& rounds(Stats& stats, const std::string& task, const char* outcome) {
  return stats.counter("muster_rounds_total", {{"task", task}, {"outcome", outcome}});
}

}  // namespace

TaskMetrics::TaskMetrics(Stats& stats, const TaskConfig& task, std::string_view rule,
                         bool is_private)
    : round(stats.gauge("muster_round_number", {{"task", task.name}})),
      cohort(stats.gauge("muster_round_cohort_size", {{"task", task.name}})),
      minimum(stats.gauge("muster_round_cohort_minimum", {{"task", task.name}})),
      target(stats.gauge("muster_round_cohort_target", {{"task", task.name}})),
      age(stats.gauge("muster_round_age_seconds", {{"task", task.name}})),
      deadline(stats.gauge("muster_round_deadline_seconds", {{"task", task.name}})),
      model_version(stats.gauge("muster_model_version", {{"task", task.name}})),
      released(rounds(stats, task.name, "released")),
      abandoned(rounds(stats, task.name, "abandoned")),
      aborted(rounds(stats, task.name, "aborted")),
      assumed_byzantine(
          stats.gauge("muster_robust_assumed_byzantine_ratio", {{"task", task.name}})),
      collect(stage(stats, task.name, "collect")),
      seal(stage(stats, task.name, "seal")),
      aggregate(stage(stats, task.name, "aggregate")),
      release(stage(stats, task.name, "release")) {
  minimum.set(task.minimum_cohort);
  target.set(task.target_cohort);
  deadline.set(static_cast<double>(task.deadline) / kSecond);
  for (std::size_t i = 0; i < kRoundStates.size(); ++i)
    states[i] = &stats.gauge("muster_round_state",
                             {{"task", task.name}, {"state", std::string(kRoundStates[i])}});
  if (is_private) return;
  data.emplace(DataDependent{stats.counter("muster_updates_invalid_total", {{"task", task.name}}),
                             stats.counter("muster_robust_excluded_total",
                                           {{"task", task.name}, {"rule", std::string(rule)}}),
                             stats.histogram("muster_update_norm", {{"task", task.name}}),
                             stats.gauge("muster_clip_ratio", {{"task", task.name}})});
}

void TaskMetrics::outcome(const robust::Outcome& result) {
  assumed_byzantine.set(result.n == 0 ? 0 : static_cast<double>(result.f) / result.n);
  if (!data) return;
  data->invalid.add(result.invalid);
  if (!result.selected.empty()) data->excluded.add(result.n - result.selected.size());
  if (!result.norms.buckets.empty()) data->norms.merge(result.norms.buckets, result.norms.sum);
  data->clip_ratio.set(result.n == 0 ? 0 : static_cast<double>(result.norms.clipped) / result.n);
}

void TaskMetrics::show(std::string_view state, RoundNumber number, std::uint32_t complete,
                       ModelVersion version) {
  round.set(static_cast<double>(number));
  cohort.set(complete);
  model_version.set(static_cast<double>(version));
  // The new one first: a scrape in between had better see two than none.
  for (std::size_t i = 0; i < kRoundStates.size(); ++i)
    if (kRoundStates[i] == state) states[i]->set(1);
  for (std::size_t i = 0; i < kRoundStates.size(); ++i)
    if (kRoundStates[i] != state) states[i]->set(0);
}

void TaskMetrics::finished(std::string_view outcome) {
  (outcome == "released" ? released : outcome == "aborted" ? aborted : abandoned).add();
}

}  // namespace muster::server
