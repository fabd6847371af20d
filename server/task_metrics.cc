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

Task::Metrics::Metrics(Stats& stats, const std::string& task, std::uint32_t minimum_cohort,
                       bool is_private)
    : round(stats.gauge("muster_round_number", {{"task", task}})),
      cohort(stats.gauge("muster_round_cohort_size", {{"task", task}})),
      minimum(stats.gauge("muster_round_cohort_minimum", {{"task", task}})),
      age(stats.gauge("muster_round_age_seconds", {{"task", task}})),
      model_version(stats.gauge("muster_model_version", {{"task", task}})),
      invalid(is_private ? nullptr
                         : &stats.counter("muster_updates_invalid_total", {{"task", task}})),
      released(rounds(stats, task, "released")),
      abandoned(rounds(stats, task, "abandoned")),
      collect(stage(stats, task, "collect")),
      seal(stage(stats, task, "seal")),
      aggregate(stage(stats, task, "aggregate")),
      release(stage(stats, task, "release")) {
  minimum.set(minimum_cohort);
  for (std::size_t i = 0; i < kRoundStates.size(); ++i)
    states[i] = &stats.gauge("muster_round_state",
                             {{"task", task}, {"state", std::string(kRoundStates[i])}});
}

void Task::Metrics::show(std::string_view state, RoundNumber number, std::uint32_t complete,
                         ModelVersion version) {
  round.set(static_cast<double>(number));
  cohort.set(complete);
  model_version.set(static_cast<double>(version));
  for (std::size_t i = 0; i < kRoundStates.size(); ++i)
    states[i]->set(kRoundStates[i] == state ? 1 : 0);
}

void Task::Metrics::finished(std::string_view outcome) {
  (outcome == "released" ? released : abandoned).add();
}

}  // namespace muster::server
