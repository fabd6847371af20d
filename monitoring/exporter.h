// The stats tree for Prometheus, and the public endpoints: /metrics, /livez, /readyz, /status.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/stats.h"
#include "monitoring/http.h"

namespace muster::monitoring {

/// Text exposition of every series (prometheus-cpp's serializer), with the catalogue's meanings.
std::string prometheus_text(const Stats& stats);

/// Why the server is not ready; empty: it is.
using ReadyCheck = std::function<std::vector<std::string>()>;
/// JSON for the status page: {"version", "backend", "ready", "tasks": [{"name", "rule", "round",
/// "state", "cohort", "target", "minimum", "deadline_s", "model_version", "rounds_done"}],
/// "updates_accepted", "refused": {reason: count}, "spool_bytes", "memory": {"budget",
/// "resident"}}.
using StatusSource = std::function<std::string()>;

/// Handler of the metrics listener. GET and HEAD only; anything else is 404 or 405. /status renders
/// a page with no outside assets that refreshes itself from /status.json.
HttpServer::Handler public_handler(const Stats& stats, ReadyCheck ready, StatusSource status);

/// Registers process metrics (CPU, resident memory, descriptors, start time, build info) that are
/// refreshed by calling the returned function before a scrape.
std::function<void()> register_process_stats(Stats& stats);

}  // namespace muster::monitoring
