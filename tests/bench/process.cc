#include "tests/bench/process.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

namespace muster::bench {

Cost Cost::now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return {static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9,
          seconds(usage.ru_utime) + seconds(usage.ru_stime)};
}

HelperProcess::HelperProcess(const std::string& program,
                             const std::vector<std::string>& arguments) {
  int down[2], up[2];
  MUSTER_CHECK(::pipe(down) == 0 && ::pipe(up) == 0);
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  MUSTER_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    ::dup2(down[0], STDIN_FILENO);
    ::dup2(up[1], STDOUT_FILENO);
    for (const int fd : {down[0], down[1], up[0], up[1]}) ::close(fd);
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }
  ::close(down[0]);
  ::close(up[1]);
  to_ = down[1];
  from_ = up[0];
}

HelperProcess::~HelperProcess() {
  ::close(to_);
  ::close(from_);
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

void HelperProcess::tell(char what) { MUSTER_CHECK(::write(to_, &what, 1) == 1); }

char HelperProcess::hear() {
  char what = 0;
  return ::read(from_, &what, 1) == 1 ? what : 0;
}

}  // namespace muster::bench
