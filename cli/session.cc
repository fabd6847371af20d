#include "cli/session.h"

#include <exception>
#include <ostream>
#include <utility>

#include "cli/exit_code.h"
#include "cli/table.h"

namespace muster::cli {
namespace {

std::string dump(const nlohmann::json& document) {
  return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& example) {
  CLI::App& command = *parent.add_subcommand(name, description);
  command.footer("Example:\n  " + example);
  return command;
}

}  // namespace

void Session::show(nlohmann::json document, const std::function<void(std::ostream&)>& human) {
  if (!json) {
    human(out());
    return;
  }
  document["schema"] = kJsonSchema;
  out() << dump(document) << '\n';
}

void Session::say(const std::string& sentence) {
  if (!json) err() << printable(sentence) << '\n' << std::flush;
}

void Session::finish(const Status& status) {
  if (status.ok())
    return;  // with whatever code the verb chose: doctor's 3 says that it found something
  exit_code = cli::exit_code(status);
  const std::string_view text = status.message();
  const std::size_t end = text.find('\n');
  const std::string message(text.substr(0, end));
  const std::string remedy(end == text.npos ? std::string_view() : text.substr(end + 1));
  if (json) {
    out() << dump(
                 {{"schema", kJsonSchema},
                  {"error", {{"code", status.reason()}, {"message", message}, {"remedy", remedy}}}})
          << '\n';
    return;
  }
  err() << "error: " << printable(message) << " [" << status.reason() << "]\n";
  // A remedy, or more findings of a broken file: one line each.
  for (std::size_t at = 0; at < remedy.size();) {
    const std::size_t stop = std::min(remedy.find('\n', at), remedy.size());
    err() << "  " << printable(std::string_view(remedy).substr(at, stop - at)) << '\n';
    at = stop + 1;
  }
}

CLI::App& add_group(CLI::App& parent, const std::string& name, const std::string& description,
                    const std::string& example) {
  CLI::App& group = add_command(parent, name, description, example);
  group.require_subcommand(1);
  return group;
}

CLI::App& add_verb(CLI::App& parent, const std::string& name, const std::string& description,
                   const std::string& example) {
  return add_command(parent, name, description, example);
}

void on_run(CLI::App& verb, Session& session, std::function<Status()> body) {
  verb.callback([&session, body = std::move(body)] {
    try {
      session.finish(body());
    } catch (const std::exception& error) {
      session.finish(Status(Code::kInternal, "internal",
                            std::string("this program failed: ") + error.what() +
                                "\nPlease report it with the command you typed."));
    }
  });
}

}  // namespace muster::cli
