#include "tests/gpusim/host/run_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>

namespace gpusim::host {

Outcome run(const std::string& environment, const std::string& program) {
  const std::string command = fmt::format("LD_LIBRARY_PATH={0} {1} {0}/{2} 2>&1",
                                          MUSTER_GPUSIM_FOLDER, environment, program);
  Outcome outcome;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) {
    ADD_FAILURE() << "cannot run " << command;
    return outcome;
  }
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace gpusim::host
