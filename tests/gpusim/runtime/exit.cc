// What the emulator says when the program has ended: after its static destructors, as the last
// library to go.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "tests/gpusim/runtime/runtime.h"
#include "tests/gpusim/runtime/traffic.h"

namespace gpusim {
namespace {

constexpr int kReportedStatus = 86;  // of a process in which anything was reported

void write_traffic(const std::string& path, const Machine& machine) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return runtime().report("GPUSIM_TRAFFIC", "cannot write " + path);
  fmt::print(file, "{}\n", traffic_json(machine));
  std::fclose(file);
}

void report_leaks() {
  Runtime& rt = runtime();
  for (const auto& [p, allocation] : rt.memory.all())
    if (allocation.kind != MemoryKind::kSymbol)
      rt.report("leak", fmt::format("{} bytes of {} on device {}, allocation {} of the process",
                                    allocation.bytes, name(allocation.kind), allocation.device,
                                    allocation.serial));
  if (const std::size_t pending = rt.scheduler.pending(); pending != 0)
    rt.report("leak", fmt::format("{} operations in streams that nobody waited for", pending));
}

__attribute__((destructor)) void at_exit() {
  Runtime& rt = runtime();
  const Lock lock(rt.mutex);
  if (!rt.settings.traffic.empty()) write_traffic(rt.settings.traffic, rt.machine);
  if (rt.settings.leaks) report_leaks();
  if (rt.reports == 0 || rt.settings.tolerate) return;
  fmt::print(stderr, "gpusim: reports: {}, seed: {}\n", rt.reports, rt.settings.seed);
  std::fflush(nullptr);
  _exit(kReportedStatus);
}

}  // namespace
}  // namespace gpusim
