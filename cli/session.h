// One run of the program: where output goes, how it looks, and what the shell gets to know.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"
#include "cli/admin_client.h"

namespace muster::cli {

/// Version of every --json document. Grows when a field changes its meaning or goes.
inline constexpr int kJsonSchema = 1;

/// What the process lives in; tests bring their own.
struct Surroundings {
  std::ostream& out;              ///< data
  std::ostream& err;              ///< talk
  std::string program_directory;  ///< where `musterd` lies
  bool terminal = false;          ///< `out` is one, and NO_COLOR is not set
};

class Session {
 public:
  explicit Session(const Surroundings& surroundings) : surroundings_(surroundings) {}

  std::string socket;  ///< set by --socket
  bool json = false;   ///< set by --json
  int exit_code = 0;

  std::ostream& out() { return surroundings_.out; }
  std::ostream& err() { return surroundings_.err; }
  bool bold() const { return surroundings_.terminal; }
  const std::string& program_directory() const { return surroundings_.program_directory; }
  AdminClient admin() const { return AdminClient(socket); }

  /// The result of a verb: `document` with its schema under --json, else what `human` writes.
  void show(nlohmann::json document, const std::function<void(std::ostream&)>& human);
  /// A sentence on the way, for people; nothing under --json.
  void say(const std::string& sentence);
  /// Ends a verb: sets the exit code and reports a failure, under --json as a document too.
  void finish(const Status& status);

 private:
  Surroundings surroundings_;
};

/// A group of verbs (`keys`), of which one must follow.
CLI::App& add_group(CLI::App& parent, const std::string& name, const std::string& description,
                    const std::string& example);
/// A verb. `example` is shown under --help. The caller adds options, then calls on_run().
CLI::App& add_verb(CLI::App& parent, const std::string& name, const std::string& description,
                   const std::string& example);
/// Runs `body` when the verb was typed. Exceptions become an "internal" failure.
void on_run(CLI::App& verb, Session& session, std::function<Status()> body);

}  // namespace muster::cli
