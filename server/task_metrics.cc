#include "server/task_metrics.h"

namespace muster::server {
namespace {
constexpr const char* kStageHelp = "Time a round spent in a stage.";

Histogram& stage(Stats& stats, const std::string& task, const char* name) {
  return stats.histogram("muster_round_duration_seconds", kStageHelp, latency_bounds(),
                         {{"task", task}, {"stage", name}});
}
}  // namespace

Task::Metrics::Metrics(Stats& stats, const std::string& task, std::uint32_t minimum_cohort)
    : round(stats.gauge("muster_round_number", "Number of the latest round.", {{"task", task}})),
      cohort(stats.gauge("muster_round_cohort_size", "Whole, durable updates of the open round.",
                         {{"task", task}})),
      minimum(stats.gauge("muster_round_cohort_minimum",
                          "Updates below which a round is abandoned.", {{"task", task}})),
      age(stats.gauge("muster_round_age_seconds", "Time since the round opened.",
                      {{"task", task}})),
      model_version(
          stats.gauge("muster_model_version", "Latest published model version.", {{"task", task}})),
      invalid(stats.counter("muster_updates_invalid_total",
                            "Updates the rule left out by its input contract.", {{"task", task}})),
      released(stats.counter("muster_rounds_total", "Rounds by how they ended.",
                             {{"task", task}, {"outcome", "released"}})),
      abandoned(stats.counter("muster_rounds_total", "Rounds by how they ended.",
                              {{"task", task}, {"outcome", "abandoned"}})),
      collect(stage(stats, task, "collect")),
      seal(stage(stats, task, "seal")),
      aggregate(stage(stats, task, "aggregate")),
      release(stage(stats, task, "release")) {
  minimum.set(minimum_cohort);
  for (std::size_t i = 0; i < kRoundStates.size(); ++i)
    states[i] = &stats.gauge("muster_round_state", "1 for the state the round is in.",
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
