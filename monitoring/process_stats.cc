#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>

#include "monitoring/exporter.h"

namespace muster::monitoring {
namespace {

double cpu_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

/// Second field of /proc/self/statm, in pages.
std::optional<double> resident_bytes() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "re"),
                                                             &std::fclose);
  unsigned long long total = 0, resident = 0;
  if (!file || std::fscanf(file.get(), "%llu %llu", &total, &resident) != 2) return std::nullopt;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// Entries of `directory` without "." and "..".
std::optional<double> count_entries(const char* directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory), &::closedir);
  if (!open) return std::nullopt;
  double count = 0;
  while (const dirent* entry = ::readdir(open.get()))
    if (entry->d_name[0] != '.') ++count;
  return count;
}

double descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

std::function<void()> register_process_stats(Stats& stats) {
  stats.gauge("muster_build_info", {{"version", MUSTER_VERSION}, {"compiler", __VERSION__}}).set(1);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  stats.gauge("muster_start_time_seconds").set(std::chrono::duration<double>(now).count());

  Gauge& cpu = stats.gauge("muster_process_cpu_seconds_total");
  Gauge& resident = stats.gauge("muster_process_resident_memory_bytes");
  Gauge& descriptors = stats.gauge("muster_process_open_fds");
  Gauge& threads = stats.gauge("muster_process_threads");
  Gauge& limit = stats.gauge("muster_process_max_fds");
  const auto refresh = [&cpu, &resident, &descriptors, &threads, &limit] {
    cpu.set(cpu_seconds());
    if (const auto bytes = resident_bytes()) resident.set(*bytes);
    // The directory being counted has a descriptor of its own.
    if (const auto open = count_entries("/proc/self/fd")) descriptors.set(*open - 1);
    if (const auto tasks = count_entries("/proc/self/task")) threads.set(*tasks);
    limit.set(descriptor_limit());
  };
  refresh();
  return refresh;
}

}  // namespace muster::monitoring
