// A load test from its scenario to its result: server, keys, task, the proof of the simulator's own
// limit, the phases, the check of the answer.
#pragma once

#include <functional>
#include <string>

#include "cli/admin_client.h"
#include "cli/load_result.h"

namespace muster::cli {

/// The server under test.
struct LoadTarget {
  AdminClient admin;
  pid_t pid = -1;  ///< -1: not ours; then its use is read from its metrics
};

struct LoadObserver {
  std::function<void(const std::string&)> say;  ///< a step begins or has ended
  /// About four times a second while the load lasts.
  std::function<void(const LoadSample&, const std::string& phase, double share)> progress;
};

/// `result.scenario`, `machine` and `commands` are set by the caller. Errors: what kept the test
/// from being run ("descriptors", "task_exists", ...); "interrupted".
Status run_load(const LoadTarget& target, const LoadObserver& observer, LoadResult& result);

}  // namespace muster::cli
