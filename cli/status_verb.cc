#include <ostream>

#include "cli/commands.h"
#include "cli/table.h"
#include "cli/task_table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

std::string joined(const json& list) {
  std::string text;
  for (const json& item : list)
    text += (text.empty() ? "" : ", ") + (item.is_string() ? item.get<std::string>() : item.dump());
  return text;
}

Status show_status(Session& session) {
  MUSTER_ASSIGN(const json status, session.admin().get("/v1/status"));
  MUSTER_ASSIGN(const json tasks, objects_of(status, "tasks"));
  session.show(status, [&](std::ostream& out) {
    const std::string metrics = word(status, "metrics");
    const bool on_tcp = !metrics.starts_with("unix:") && metrics != "-" && !metrics.empty();
    print_facts(out, {{"server", "muster " + word(status, "version") +
                                     (status.value("ready", false) ? ", ready" : ", NOT READY")},
                      {"backend", word(status, "backend")},
                      {"devices", joined(status.value("endpoints", json::array()))},
                      {"server key", word(status, "server_key")},
                      {"status page", on_tcp ? "http://" + metrics + "/status" : ""},
                      {"metrics", on_tcp ? "http://" + metrics + "/metrics" : metrics},
                      {"data", word(status, "data_dir")}});
    out << '\n';
    if (tasks.empty())
      out << "no tasks; create one with: muster task create FILE\n";
    else
      print_tasks(out, tasks, session.bold());
  });
  return Status();
}

}  // namespace

void add_status(CLI::App& app, Session& session) {
  CLI::App& status = add_verb(app, "status", "Show the running server", "muster status");
  on_run(status, session, [&session] { return show_status(session); });
}

}  // namespace muster::cli
