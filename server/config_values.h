// A configuration key by key, and what differs between two: for reloading and for support bundles.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/config.h"

namespace muster::server {

/// Every key of the server ("ingest.slab", not those of tasks) with its value as text, and
/// "task.NAME" with a hash of each task's. Holds no secrets: those are in files.
std::map<std::string, std::string> config_values(const Config& config);

struct ConfigChanges {
  std::vector<std::string> reloadable;     ///< take effect on SIGHUP
  std::vector<std::string> needs_restart;  ///< only at the next start
};
ConfigChanges config_changes(const Config& before, const Config& after);

/// Moves the reloadable values from `source`.
void take_reloadable(Config& target, const Config& source);

}  // namespace muster::server
