#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <ostream>

#include "cli/commands.h"
#include "cli/exit_code.h"

extern char** environ;

namespace muster::cli {
namespace {

struct Outcome {
  int exit_code = kExitInternal;
  std::string text;  ///< what it printed, both streams
};

Status spawn_failed(const std::string& program, int error) {
  return Status(Code::kUnavailable, "server_program",
                "cannot run " + program + ": " + std::strerror(error) +
                    "\nInstall musterd beside this program.");
}

/// Runs `program --check file` and collects its output.
Result<Outcome> check(const std::string& program, const std::string& file) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return spawn_failed(program, errno);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDERR_FILENO);
  std::string name = "musterd", flag = "--check", path = file;
  std::array<char*, 4> arguments{name.data(), flag.data(), path.data(), nullptr};
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  if (error != 0) {
    ::close(pipe[0]);
    return spawn_failed(program, error);
  }
  Outcome outcome;
  std::array<char, 4096> piece{};
  for (ssize_t got = 0; (got = ::read(pipe[0], piece.data(), piece.size())) != 0;) {
    if (got < 0 && errno != EINTR) break;
    if (got > 0) outcome.text.append(piece.data(), static_cast<std::size_t>(got));
  }
  ::close(pipe[0]);
  int state = 0;
  while (::waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(state)) outcome.exit_code = WEXITSTATUS(state);
  return outcome;
}

}  // namespace

void add_check_config(CLI::App& app, Session& session) {
  CLI::App& verb = add_verb(app, "check-config", "Check a server configuration (needs no server)",
                            "muster check-config muster.toml");
  auto file = std::make_shared<std::string>();
  verb.add_option("FILE", *file, "The configuration (TOML)")->required()->option_text(" ");
  verb.callback([&session, file] {
    const auto outcome = check(session.program_directory() + "/musterd", *file);
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
