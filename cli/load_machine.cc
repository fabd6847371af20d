#include "cli/load_machine.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

namespace muster::cli {
namespace {

/// The first value of a "key : value" file.
std::string value_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t at = line.find_first_not_of(" \t", line.find(':') + 1);
    return at == std::string::npos ? std::string() : line.substr(at);
  }
  return {};
}

double kilobytes(const std::string& path, const std::string& key) {
  const std::string text = value_in(path.c_str(), key);
  return text.empty() ? 0 : std::stod(text) * 1024;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> machine_facts(const std::string& folder) {
  utsname system{};
  ::uname(&system);
  std::string load;
  std::ifstream("/proc/loadavg") >> load;
  struct statfs disk {};
  ::statfs(folder.c_str(), &disk);
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  return {{"processor", value_in("/proc/cpuinfo", "model name")},
          {"cores", fmt::format("{}", std::thread::hardware_concurrency())},
          {"memory", fmt::format("{:.1f} GiB", kilobytes("/proc/meminfo", "MemTotal") / (1 << 30))},
          {"load average at the start", load},
          {"system", fmt::format("{} {}", system.sysname, system.release)},
          {"disk",
           fmt::format(
               "file system {:#x}, {:.1f} GiB free", static_cast<unsigned long>(disk.f_type),
               static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_bsize) / (1 << 30))},
          {"open files", fmt::format("{} (at most {})", files.rlim_cur, files.rlim_max)},
          {"muster", MUSTER_VERSION}};
}

ProcessUse process_use(pid_t pid) {
  ProcessUse use;
  const std::string folder = fmt::format("/proc/{}", pid);
  use.resident = kilobytes(folder + "/status", "VmRSS");
  use.peak = kilobytes(folder + "/status", "VmHWM");
  std::ifstream file(folder + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  // Fields count from the end of the name, which may hold anything.
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  if (fields >> user >> system)
    use.cpu = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return use;
}

Status allow_descriptors(std::uint64_t needed) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= needed) return {};
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= needed) return {};
  return {Code::kExhausted, "descriptors",
          fmt::format("the scenario needs {} open files, {} are allowed\nRaise the limit with "
                      "ulimit -n, or take fewer devices and peers.",
                      needed, limit.rlim_max)};
}

}  // namespace muster::cli
