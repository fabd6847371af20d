#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/server_program.h"

namespace muster::cli {

void add_spool(CLI::App& app, Session& session) {
  CLI::App& group = add_group(app, "spool", "Check the updates of a stopped server",
                              "muster spool verify --config muster.toml");
  CLI::App& verb = add_verb(group, "verify", "Check every record; ended rounds must be shut",
                            "muster spool verify --config muster.toml");
  struct Options {
    std::string config, data_dir;
  };
  auto options = std::make_shared<Options>();
  verb.add_option("--config", options->config, "The server's configuration")->option_text("FILE");
  verb.add_option("--data-dir", options->data_dir, "Its data, without a configuration")
      ->option_text("DIR");
  verb.callback([&session, options] {
    std::vector<std::string> arguments = {"--verify-spool"};
    if (!options->config.empty()) arguments.insert(arguments.end(), {"--config", options->config});
    if (!options->data_dir.empty())
      arguments.insert(arguments.end(), {"--data-dir", options->data_dir});
    const auto outcome = run_server_program(session.program_directory() + "/musterd", arguments);
    if (!outcome.ok()) {
      session.finish(outcome.status());
      return;
    }
    session.exit_code = outcome->exit_code;
    session.show({{"sound", outcome->exit_code == 0}, {"text", outcome->text}},
                 [&](std::ostream& out) {
                   (outcome->exit_code == 0 ? out : session.err()) << outcome->text;
                 });
  });
}

}  // namespace muster::cli
