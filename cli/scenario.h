// A load test as its author writes it: a TOML file into one checked struct (docs/loadtest.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loadtest/load_plan.h"
#include "robust_agg/rule.h"

namespace muster::cli {

/// [server]: of the musterd the load test starts; without meaning where one is named.
struct ScenarioServer {
  std::string security = "curve";
  std::string encrypt = "all";  ///< as spool.encrypt
  std::uint32_t io_threads = 1, threads = 0;
  std::uint32_t max_connections = 16'384;
  std::uint64_t slab_bytes = std::uint64_t{64} << 20;
  std::uint64_t segment_bytes = std::uint64_t{256} << 20;
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;
  Nanoseconds commit_window = 2 * kMillisecond;
};

/// [task]: what the fleets take part in. The load test creates it, so that it knows every update
/// there ever was in it.
struct ScenarioTask {
  std::string name = "loadtest";
  std::uint64_t dimension = 1000;
  std::string codec = "i8s";
  std::uint32_t block = 256;
  std::int32_t scale_exponent = -10;
  std::uint32_t chunk_coordinates = 65'536;
  std::string rule = "mean";
  robust::RuleParameters parameters;
  double value_bound = 16;
  std::uint32_t target_cohort = 100, minimum_cohort = 1;
  double over_selection = 1.3;
  Nanoseconds deadline = 0;
  std::uint64_t rounds = 0;  ///< the test ends with the last; 0: with its phases
};

/// [thresholds]: what makes the exit code. Unset ones do not count.
struct Thresholds {
  std::optional<Nanoseconds> connect_p99, acknowledge_p50, acknowledge_p99, acknowledge_p999,
      round_p99;
  std::optional<std::uint64_t> unanswered, refused, skipped, acknowledged_at_least, rounds_at_least;
  std::optional<double> rate_at_least;  ///< receipts a second, over all phases
  std::optional<std::uint64_t> server_memory;
  bool memory_in_budget = false;
  /// acknowledge p99 of the phases whose name begins with p99_of, by that of those with p99_to;
  /// medians of the phases.
  std::optional<double> p99_ratio;
  std::string p99_of, p99_to;
};

struct Scenario {
  std::string name, title, text;
  std::uint32_t workers = 1;
  bool check = true;      ///< recompute the models
  bool null_sink = true;  ///< prove the simulator's own limit first
  /// No latencies are reported, so that it does not matter who was saturated: for tests.
  bool answer_only = false;
  ScenarioServer server;
  ScenarioTask task;
  loadtest::LoadPlan plan;
  Thresholds thresholds;
};

/// Every problem at once: "FILE:LINE:COLUMN: key 'x': what", as one "config_invalid".
Result<Scenario> parse_scenario(std::string_view text, std::string_view file);

/// The task as TOML for `muster task create`, named `name`.
std::string task_toml(const ScenarioTask& task);
/// The sections of the configuration of a server for this task.
std::string server_sections(const ScenarioServer& server, const ScenarioTask& task);

}  // namespace muster::cli
