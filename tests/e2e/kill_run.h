// Runs of the real server that end by SIGKILL at a chosen storage or socket call and begin again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "client/client.h"
#include "tests/e2e/server_process.h"

namespace muster::e2e {

inline constexpr std::uint32_t kDevices = 6;
inline constexpr std::uint64_t kRounds = 2;

/// What is run again and again.
struct KillCase {
  std::string task;   ///< keys of the task beside its shape
  std::string begun;  ///< every run begins with a copy of this data folder; empty: with a new one
  /// Files whose calls count (MUSTER_KILL_FILES); empty: all calls.
  std::string files;
  /// Looks at the data folder: while the server lies killed, and once a run is over.
  std::function<void(const std::string& data)> when_killed = [](const std::string&) {};
  std::function<void(const std::string& data)> when_over = [](const std::string&) {};
  std::uint64_t compared = kRounds;  ///< the model version whose bytes no kill may change
};

struct KillOutcome {
  std::string model_sha256;
  std::uint32_t receipts = 0;
  unsigned long calls = 0;  ///< of a run that is not killed
  bool killed = false;
};

/// The keys of kDevices devices.
const std::vector<client::Identity>& kill_identities();
std::string kill_model(const std::string& data, std::uint64_t version);  ///< its file
/// The data folder's server, as it runs with `task`; enrols the devices.
Enrolment write_kill_config(const std::string& file, const std::string& data, int port,
                            const std::string& task);

/// kRounds rounds; the server is killed at call `kill_at` (0: not at all), before or after it is
/// carried out, and then started again, once, without.
KillOutcome run_killed(const KillCase& with, unsigned long kill_at, bool after);

/// Kills at `points` calls spread evenly over those of an undisturbed run, several runs at once,
/// and expects of each what the undisturbed run gave. How many runs were killed.
int sweep_kills(const KillCase& with, int points);

/// MUSTER_KILL_POINTS, or `usual`.
int kill_points(int usual);

}  // namespace muster::e2e
