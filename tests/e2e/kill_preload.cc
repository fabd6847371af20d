// LD_PRELOAD for musterd: counts the calls that change the disk or the network and ends the process
// by SIGKILL at call MUSTER_KILL_AT, before it happens or after (MUSTER_KILL_WHEN=before|after).
// With MUSTER_KILL_COUNT=FILE it only counts, and writes the total there at exit.
// MUSTER_KILL_FILES, parts of paths separated by colons, leaves all calls out but those on such
// files.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::atomic<unsigned long> calls{0};

struct Plan {
  unsigned long at = 0;
  bool after = false;
  const char* count_file = nullptr;
  std::vector<std::string> files;
  Plan() {
    if (const char* text = getenv("MUSTER_KILL_FILES")) {
      std::istringstream all(text);
      for (std::string part; std::getline(all, part, ':');) files.push_back(part);
    }
    if (const char* text = getenv("MUSTER_KILL_AT")) at = strtoul(text, nullptr, 10);
    if (const char* text = getenv("MUSTER_KILL_WHEN")) after = strcmp(text, "after") == 0;
    count_file = getenv("MUSTER_KILL_COUNT");
  }
};

Plan& plan() {
  static Plan instance;
  return instance;
}

[[gnu::destructor]] void report() {
  if (plan().count_file == nullptr) return;
  if (FILE* file = fopen(plan().count_file, "w")) {
    fprintf(file, "%lu\n", calls.load());
    fclose(file);
  }
}

[[noreturn]] void end() {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

bool meant(const char* path) {
  for (const auto& part : plan().files)
    if (strstr(path, part.c_str()) != nullptr) return true;
  return plan().files.empty();
}

bool meant(int fd) {
  if (plan().files.empty()) return true;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  char path[4096] = {};
  return readlink(link.c_str(), path, sizeof path - 1) > 0 && meant(path);
}

template <class First, class... Rest>
First first(First value, Rest...) {
  return value;
}

template <class Call>
auto counted(Call call) {
  const unsigned long number = ++calls;
  const bool mine = number == plan().at;
  if (mine && !plan().after) end();
  auto result = call();
  if (mine) end();
  return result;
}

}  // namespace

#define MUSTER_INTERPOSE(result, name, parameters, arguments)   \
  extern "C" result name parameters {                           \
    static const auto next = real<result(*) parameters>(#name); \
    if (!meant(first arguments)) return next arguments;         \
    return counted([&] { return next arguments; });             \
  }

MUSTER_INTERPOSE(ssize_t, pwritev, (int fd, const iovec* v, int n, off_t at), (fd, v, n, at))
MUSTER_INTERPOSE(ssize_t, pwritev64, (int fd, const iovec* v, int n, off64_t at), (fd, v, n, at))
MUSTER_INTERPOSE(ssize_t, pwrite, (int fd, const void* p, size_t n, off_t at), (fd, p, n, at))
MUSTER_INTERPOSE(ssize_t, pwrite64, (int fd, const void* p, size_t n, off64_t at), (fd, p, n, at))
MUSTER_INTERPOSE(int, fdatasync, (int fd), (fd))
MUSTER_INTERPOSE(int, fsync, (int fd), (fd))
MUSTER_INTERPOSE(int, rename, (const char* from, const char* to), (from, to))
MUSTER_INTERPOSE(int, unlink, (const char* path), (path))
MUSTER_INTERPOSE(int, ftruncate, (int fd, off_t size), (fd, size))
MUSTER_INTERPOSE(int, ftruncate64, (int fd, off64_t size), (fd, size))
MUSTER_INTERPOSE(int, posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size))
MUSTER_INTERPOSE(int, posix_fallocate64, (int fd, off64_t at, off64_t size), (fd, at, size))
MUSTER_INTERPOSE(ssize_t, send, (int fd, const void* p, size_t n, int flags), (fd, p, n, flags))
