// The operator's interface: JSON over HTTP on a Unix socket. docs/admin.md lists the calls.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "monitoring/exporter.h"
#include "monitoring/http.h"
#include "server/audit.h"
#include "server/engine.h"

namespace muster::server {

/// Facts about the node that do not change while it runs.
struct NodeFacts {
  std::string backend;
  std::string server_key;  ///< Z85
  std::vector<std::string> endpoints;
  std::string metrics_address;
  std::string data_dir;  ///< absolute
  std::map<std::string, std::string> config;
};

class Admin {
 public:
  /// All outlive it. handle() is called from HTTP threads; what touches tasks runs on the engine.
  Admin(Engine& engine, const Stats& stats, Audit& audit, NodeFacts facts,
        monitoring::ReadyCheck ready);

  /// Callers other than this user and root may only read.
  monitoring::HttpResponse handle(const monitoring::HttpRequest& request);
  /// For /status.json.
  std::string status_json();

 private:
  Engine& engine_;
  const Stats& stats_;
  Audit& audit_;
  NodeFacts facts_;
  monitoring::ReadyCheck ready_;
};

}  // namespace muster::server
