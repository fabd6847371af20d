#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/server_program.h"

namespace muster::cli {

void add_check_config(CLI::App& app, Session& session) {
  CLI::App& verb = add_verb(app, "check-config", "Check a server configuration (needs no server)",
                            "muster check-config muster.toml");
  auto file = std::make_shared<std::string>();
  verb.add_option("FILE", *file, "The configuration (TOML)")->required()->option_text(" ");
  verb.callback([&session, file] {
    const auto outcome =
        run_server_program(session.program_directory() + "/musterd", {"--check", *file});
    if (!outcome.ok()) {
      session.finish(outcome.status());
      return;
    }
    const bool valid = outcome->exit_code == 0;
    session.exit_code = outcome->exit_code;
    session.show({{"file", *file}, {"valid", valid}, {"text", outcome->text}},
                 [&](std::ostream& out) { (valid ? out : session.err()) << outcome->text; });
  });
}

}  // namespace muster::cli
