// A few devices that train one task over sockets, on a real musterd.
#pragma once

#include <map>
#include <string>

namespace muster::e2e {

struct FleetOutcome {
  std::string model_sha256;  ///< of the last release; empty: there was none
  std::string log;           ///< what the server said
  int status = -1;           ///< of the server, as waitpid gives it
};

/// Two rounds of `task` (lines of a [[task]] beside its size) on `kind` = "auto", "cpu" or "cuda".
FleetOutcome serve_fleet(const std::string& kind, const std::string& task);

}  // namespace muster::e2e
