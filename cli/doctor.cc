#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/doctor_checks.h"
#include "cli/exit_code.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

using nlohmann::json;

const char* finding_word(Finding finding) {
  return finding == Finding::kPass ? "PASS" : finding == Finding::kWarn ? "WARN" : "FAIL";
}

Status examine(Session& session, const std::string& config_file) {
  const auto results = judge(look(session.program_directory(), config_file));
  json checks = json::array();
  for (const CheckResult& result : results) {
    checks.push_back({{"check", result.name},
                      {"finding", finding_word(result.finding)},
                      {"what", result.what},
                      {"remedy", result.remedy}});
    if (result.finding == Finding::kFail) session.exit_code = kExitProblems;
  }
  session.show({{"checks", std::move(checks)}}, [&](std::ostream& out) {
    for (const CheckResult& result : results) {
      out << finding_word(result.finding) << "  " << result.name << ": " << printable(result.what)
          << '\n';
      if (!result.remedy.empty()) out << "      " << result.remedy << '\n';
    }
  });
  return Status();
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  CLI::App& verb = add_verb(app, "doctor", "Check this machine for a server (needs no server)",
                            "muster doctor --config muster.toml");
  auto file = std::make_shared<std::string>();
  verb.add_option("-c,--config", *file, "The configuration; else the defaults")
      ->option_text("FILE");
  on_run(verb, session, [&session, file] { return examine(session, *file); });
}

}  // namespace muster::cli
