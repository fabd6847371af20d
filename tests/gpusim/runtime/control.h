// For test programs: turns the knobs of the emulator they run under, if they run under it. Header
// only, found at run time, so that the same program also runs on a GPU.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <string>

namespace gpusim::control {

// Of the CUDA runtime in this process, however it came in.
inline void* symbol(const char* name) {
  for (const char* library : {"libcudart.so.13", "libcudart.so.12"})
    if (void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD)) return dlsym(handle, name);
  return nullptr;
}

// Whether that runtime is there and is the emulator.
inline bool present() { return symbol("gpusim_set") != nullptr; }

// A setting of docs/gpusim.md that may change while running, by its variable: GPUSIM_SEED,
// GPUSIM_DEVICES while none is in use, GPUSIM_ARCH (what properties say; kernels stay what was
// loaded), GPUSIM_FAIL_MALLOC, GPUSIM_FAIL_LAUNCH, GPUSIM_FAIL_CALL and GPUSIM_HANG (counted from
// now on), GPUSIM_RACES, GPUSIM_UNINIT, GPUSIM_TOLERATE, GPUSIM_TRAFFIC (0 or 1: count or not).
// False if there is no emulator or no such setting.
inline bool set(const char* setting, std::uint64_t value) {
  const auto function = reinterpret_cast<int (*)(const char*, std::uint64_t)>(symbol("gpusim_set"));
  return function != nullptr && function(setting, value) == 0;
}

// "calls", "launches", "allocations", "reports" so far; "live_bytes" of device memory; "devices".
inline std::uint64_t count(const char* counter) {
  const auto function = reinterpret_cast<std::uint64_t (*)(const char*)>(symbol("gpusim_count"));
  return function != nullptr ? function(counter) : 0;
}

// The traffic since the last call of this function (tests/gpusim/runtime/traffic.h), as JSON.
inline std::string take_traffic() {
  const auto function = reinterpret_cast<const char* (*)()>(symbol("gpusim_take_traffic"));
  return function != nullptr ? function() : "";
}

}  // namespace gpusim::control
