// The far side of control.h.
#include "tests/gpusim/runtime/control.h"

#include <string_view>

#include "tests/gpusim/runtime/runtime.h"
#include "tests/gpusim/runtime/traffic.h"

using namespace gpusim;

extern "C" {

int gpusim_set(const char* setting, std::uint64_t value) {
  Runtime& rt = runtime();
  const Lock lock(rt.mutex);
  Settings& s = rt.settings;
  const std::string_view name = setting;
  const auto from_now = [value](std::uint64_t so_far) { return value == 0 ? 0 : so_far + value; };
  if (name == "GPUSIM_SEED") {
    s.seed = static_cast<std::uint32_t>(value);
    rt.scheduler.change_seed();
  } else if (name == "GPUSIM_DEVICES") {
    if (value > kMostDevices) return 1;
    s.devices = static_cast<int>(value);
  } else if (name == "GPUSIM_ARCH") {
    s.architecture = static_cast<int>(value);
  } else if (name == "GPUSIM_FAIL_MALLOC") {
    s.fail_malloc = from_now(rt.memory.allocations());
  } else if (name == "GPUSIM_FAIL_LAUNCH") {
    s.fail_launch = from_now(rt.launches);
  } else if (name == "GPUSIM_FAIL_CALL") {
    s.fail_call = from_now(rt.calls);
  } else if (name == "GPUSIM_HANG") {
    s.hang = from_now(rt.launches);
  } else if (name == "GPUSIM_RACES") {
    s.races = value != 0;
  } else if (name == "GPUSIM_UNINIT") {
    s.uninitialised = value != 0;
  } else if (name == "GPUSIM_TOLERATE") {
    s.tolerate = value != 0;
  } else if (name == "GPUSIM_TRAFFIC") {
    s.count_traffic = value != 0;
  } else {
    return 1;
  }
  rt.apply_settings();
  return 0;
}

std::uint64_t gpusim_count(const char* counter) {
  Runtime& rt = runtime();
  const Lock lock(rt.mutex);
  const std::string_view name = counter;
  if (name == "calls") return rt.calls;
  if (name == "launches") return rt.launches;
  if (name == "allocations") return rt.memory.allocations();
  if (name == "reports") return rt.reports;
  if (name == "devices") return static_cast<std::uint64_t>(rt.settings.devices);
  if (name == "live_bytes") {
    std::uint64_t bytes = 0;
    for (int device = 0; device < rt.settings.devices; ++device)
      bytes += rt.settings.memory_bytes - rt.memory.free_bytes(device);
    return bytes;
  }
  return 0;
}

const char* gpusim_take_traffic() {
  Runtime& rt = runtime();
  const Lock lock(rt.mutex);
  static std::string text;
  text = traffic_json(rt.machine);
  rt.machine.clear_traffic();
  return text.c_str();
}

}  // extern "C"
