// The series of one task: the round group of the metrics.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/stats.h"
#include "server/task.h"

namespace muster::server {

inline constexpr std::array<std::string_view, 9> kRoundStates = {
    "open",      "draining",   "sealing", "aggregating", "releasing",
    "shredding", "abandoning", "done",    "finished"};

struct Task::Metrics {
  /// Of a private task nothing is counted that depends on updates.
  Metrics(Stats& stats, const std::string& task, std::uint32_t minimum_cohort, bool is_private);
  void show(std::string_view state, RoundNumber round, std::uint32_t complete,
            ModelVersion version);
  void finished(std::string_view outcome);

  Gauge& round;
  Gauge& cohort;
  Gauge& minimum;
  Gauge& age;
  Gauge& model_version;
  Counter* invalid = nullptr;  ///< null in private tasks
  Counter& released;
  Counter& abandoned;
  Histogram& collect;
  Histogram& seal;
  Histogram& aggregate;
  Histogram& release;
  std::array<Gauge*, kRoundStates.size()> states{};
};

}  // namespace muster::server
