// What a load test found out, for the screen, the files and the exit code.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/scenario.h"
#include "loadtest/hostile_peers.h"
#include "loadtest/outcome.h"

namespace muster::cli {

/// One reading, about once a second.
struct LoadSample {
  double at = 0;  ///< seconds since the start
  std::uint64_t due = 0, acknowledged = 0, active = 0, connected = 0, peers = 0;
  double p50 = 0, p99 = 0;                  ///< acknowledge, seconds, since the reading before
  double server_bytes = 0, server_cpu = 0;  ///< resident; CPU seconds since its start
};

/// What the simulator did against a server that keeps nothing.
struct NullSinkResult {
  bool done = false;
  double wanted = 0, reached = 0;  ///< devices a second
  double p99 = 0;                  ///< acknowledge, seconds
  double factor = 0;               ///< reached over the highest rate of the scenario
};

/// The released models against those that the receipts say there must be.
struct AnswerCheck {
  bool done = false, exact = false;
  std::uint64_t rounds = 0, abandoned = 0;  ///< that ended
  std::uint64_t receipts = 0;               ///< in released rounds
  std::uint64_t lost = 0;                   ///< receipts that no release counts
  std::uint64_t unknown = 0;                ///< updates in a release that got no receipt
  std::uint64_t models = 0;                 ///< compared, bit for bit
  std::uint64_t invalid = 0;                ///< left out by the rule's input contract
  double seconds = 0;
  std::string trouble;  ///< the first thing that was wrong
};

struct Judged {
  std::string what, wanted, found;
  bool met = false;
};

/// Means of the parts of an acknowledgement, seconds; they add up to its mean.
struct Parts {
  double client = 0, network = 0, queue = 0, durable = 0;
  double compute = 0;  ///< beside them: aggregation, a round
};

struct LoadResult {
  const Scenario* scenario = nullptr;
  std::vector<std::pair<std::string, std::string>> machine;  ///< facts
  std::vector<std::string> commands;
  std::string backend;
  std::vector<LoadSample> samples;
  loadtest::Outcome outcome;
  std::vector<loadtest::PeersOutcome> peers;
  std::map<std::string, double> metrics_before, metrics_after;
  NullSinkResult null_sink;
  AnswerCheck check;
  Parts parts;
  double seconds = 0;        ///< from the first turn to the last answer
  double round_seconds = 0;  ///< mean, from its opening to its release
  double server_peak = 0, server_budget = 0, server_cpu = 0;
  double simulator_peak = 0, simulator_cpu = 0;
  std::vector<Judged> judged;
  std::string saturated;  ///< why the figures are not the server's; empty: they are

  double rate() const {
    return seconds > 0 ? static_cast<double>(outcome.counts.acknowledged) / seconds : 0;
  }
  bool passed() const;
};

/// Means from the server's own counters and ours.
Parts split_parts(const LoadResult& result);
/// All phases' latencies in one.
loadtest::PhaseLatencies all_phases(const loadtest::Outcome& outcome);
std::vector<Judged> judge(const LoadResult& result);
/// Empty, or why the simulator and not the server set the figures.
std::string saturation(const LoadResult& result);

nlohmann::json to_json(const LoadResult& result);
/// One line a sample, and one line a percentile.
std::string samples_csv(const LoadResult& result);
std::string percentiles_csv(const LoadResult& result);
/// One self-contained page.
std::string report_html(const LoadResult& result);

/// The percentiles that are reported.
inline constexpr double kPercentiles[] = {50, 75, 90, 95, 99, 99.9, 99.99};

/// The series of a Prometheus text page by name with labels.
std::map<std::string, double> parse_metrics(const std::string& text);
/// after - before of all series of a family.
double growth(const LoadResult& result, const std::string& family);

}  // namespace muster::cli
