#include <algorithm>
#include <ostream>

#include "cli/commands.h"
#include "cli/demo.h"
#include "cli/exit_code.h"
#include "cli/key_file.h"

namespace muster::cli {
namespace {

constexpr const char* kDefaultSocket = "./muster-data/admin.sock";
/// Leaves 50 columns of 80 for descriptions.
constexpr std::size_t kHelpColumn = 30;

}  // namespace

std::unique_ptr<CLI::App> build_app(Session& session) {
  auto app =
      std::make_unique<CLI::App>("Muster: robust aggregation for federated learning.", "muster");
  app->require_subcommand(1);
  app->fallthrough();  // global options may stand after the verb
  app->get_formatter()->column_width(kHelpColumn);
  app->set_help_flag("-h,--help", "Print this and exit");
  app->set_version_flag("--version", "muster " MUSTER_VERSION, "Print the version and exit");
  session.socket = kDefaultSocket;
  app->add_option("--socket", session.socket, "Admin socket of the server")
      ->envname("MUSTER_SOCKET")
      ->option_text("PATH");
  app->add_flag("--json", session.json, "One JSON document instead of text");
  app->footer(
      "The socket is --socket, else $MUSTER_SOCKET, else\n./muster-data/admin.sock. Global options "
      "may follow the verb.\n\nExample:\n  muster status\n  muster round ls keyboard --json");

  add_status(*app, session);
  add_task(*app, session);
  add_round(*app, session);
  add_model(*app, session);
  add_keys(*app, session);
  add_metrics(*app, session);
  add_top(*app, session);
  add_doctor(*app, session);
  add_bundle(*app, session);
  add_check_config(*app, session);
  add_spool(*app, session);
  add_device(*app, session);
  add_privacy(*app, session);
  add_ledger(*app, session);
  add_loadtest(*app, session);
  add_demo_command(*app, session.exit_code);
  return app;
}

int run(const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  Session session(surroundings);
  const auto app = build_app(session);
  std::vector<std::string> reversed = guard_keys(arguments);
  std::reverse(reversed.begin(), reversed.end());  // as CLI11 takes a vector
  try {
    app->parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    return app->exit(error, surroundings.out, surroundings.err) == 0 ? 0 : kExitUsage;
  }
  surroundings.out.flush();
  return session.exit_code;
}

}  // namespace muster::cli
