// The series of one task: the groups round, robust and privacy of the catalogue.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/stats.h"
#include "server/task.h"

namespace muster::server {

inline constexpr std::array<std::string_view, 10> kRoundStates = {
    "open",      "draining",   "sealing", "aggregating", "releasing",
    "shredding", "abandoning", "done",    "finished",    "stopped"};

struct TaskMetrics {
  /// `is_private`: what depends on single devices' data is not exported.
  TaskMetrics(Stats& stats, const TaskConfig& task, std::string_view rule, bool is_private);
  void show(std::string_view state, RoundNumber round, std::uint32_t complete,
            ModelVersion version);
  void finished(std::string_view outcome);
  /// What the rule did with a cohort.
  void outcome(const robust::Outcome& outcome);

  Gauge& round;
  Gauge& cohort;
  Gauge& minimum;
  Gauge& target;
  Gauge& age;
  Gauge& deadline;
  Gauge& model_version;
  Counter& released;
  Counter& abandoned;
  Counter& aborted;
  Gauge& assumed_byzantine;
  Histogram& collect;
  Histogram& seal;
  Histogram& aggregate;
  Histogram& release;
  std::array<Gauge*, kRoundStates.size()> states{};
  struct DataDependent {
    Counter& invalid;
    Counter& excluded;
    Histogram& norms;
    Gauge& clip_ratio;
  };
  std::optional<DataDependent> data;  ///< none in a private task
};

}  // namespace muster::server
