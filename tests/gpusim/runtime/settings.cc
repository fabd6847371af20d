#include "tests/gpusim/runtime/settings.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <limits>

namespace gpusim {
namespace {

std::uint64_t number(const char* name, std::uint64_t otherwise,
                     std::uint64_t most = std::numeric_limits<std::uint32_t>::max()) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (*end == '\0' && value <= most) return value;
  fmt::print(stderr, "gpusim: {}=\"{}\" is not a number from 0 to {}\n", name, text, most);
  std::exit(2);
}

}  // namespace

Settings settings_from_environment() {
  Settings s;
  s.seed = static_cast<std::uint32_t>(number("GPUSIM_SEED", 0));
  s.devices = static_cast<int>(number("GPUSIM_DEVICES", 1, kMostDevices));
  s.architecture = static_cast<int>(number("GPUSIM_ARCH", 90));
  s.multiprocessors = static_cast<int>(number("GPUSIM_SMS", 0, 1024));
  s.memory_bytes = static_cast<std::size_t>(number("GPUSIM_MEMORY_MB", 4096)) << 20;
  s.fail_malloc = number("GPUSIM_FAIL_MALLOC", 0);
  s.fail_launch = number("GPUSIM_FAIL_LAUNCH", 0);
  s.fail_call = number("GPUSIM_FAIL_CALL", 0);
  s.hang = number("GPUSIM_HANG", 0);
  s.deadlock_ms = static_cast<std::uint32_t>(number("GPUSIM_DEADLOCK_MS", 5000));
  s.envreg0 = static_cast<std::uint32_t>(number("GPUSIM_ENVREG0", 0));
  s.races = number("GPUSIM_RACES", 1, 1) != 0;
  s.uninitialised = number("GPUSIM_UNINIT", 1, 1) != 0;
  s.leaks = number("GPUSIM_LEAKS", 0, 1) != 0;
  s.tolerate = number("GPUSIM_TOLERATE", 0, 1) != 0;
  if (const char* path = std::getenv("GPUSIM_TRAFFIC")) s.traffic = path;
  s.count_traffic = !s.traffic.empty();
  return s;
}

}  // namespace gpusim
