#include "tests/cuda_server/child.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>

#include "base/check.h"

namespace muster::sim {
namespace {

/// A child that neither ends nor is ended is a failure, not a test that never ends.
constexpr unsigned kPatienceSeconds = 240;

}  // namespace

Folder::Folder() {
  std::string name = std::filesystem::current_path().string() + "/cuda-XXXXXX";
  MUSTER_CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::size_t ChildEnd::count(std::string_view line_part) const {
  std::size_t found = 0;
  for (std::size_t at = output.find(line_part); at != std::string::npos;
       at = output.find(line_part, at + 1))
    ++found;
  return found;
}

ChildEnd in_child(const std::function<int()>& body) {
  std::array<int, 2> pipe{};
  MUSTER_CHECK(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  MUSTER_CHECK(pid >= 0);
  if (pid == 0) {
    ::dup2(pipe[1], STDERR_FILENO);
    ::alarm(kPatienceSeconds);
    const int status = body();
    std::fflush(nullptr);
    ::_exit(status);
  }
  ::close(pipe[1]);
  ChildEnd end;
  std::array<char, 4096> text;
  for (ssize_t got; (got = ::read(pipe[0], text.data(), text.size())) > 0;)
    end.output.append(text.data(), static_cast<std::size_t>(got));
  ::close(pipe[0]);
  int status = 0;
  MUSTER_CHECK(::waitpid(pid, &status, 0) == pid);
  if (WIFEXITED(status)) end.status = WEXITSTATUS(status);
  return end;
}

}  // namespace muster::sim
