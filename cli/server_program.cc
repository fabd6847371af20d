#include "cli/server_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

extern char** environ;

namespace muster::cli {
namespace {

Status spawn_failed(const std::string& program, int error) {
  return Status(Code::kUnavailable, "server_program",
                "cannot run " + program + ": " + std::strerror(error) +
                    "\nInstall musterd beside this program.");
}

}  // namespace

Result<Outcome> run_server_program(const std::string& program,
                                   const std::vector<std::string>& arguments) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return spawn_failed(program, errno);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDERR_FILENO);
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "musterd");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, program.c_str(), &actions, nullptr, pointers.data(), environ);
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

}  // namespace muster::cli
