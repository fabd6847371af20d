#include "tests/gpusim/runtime/runtime.h"

#include <fmt/format.h>

#include <cstdio>

#include "tests/gpusim/runtime/device.h"

namespace gpusim {
namespace {

thread_local int device_of_thread = 0;
thread_local cudaError_t error_of_thread = cudaSuccess;
thread_local bool in_host_code = false;

}  // namespace

Runtime::Runtime()
    : settings(settings_from_environment()), memory(settings, machine), scheduler(settings) {
  apply_settings();
}

void Runtime::apply_settings() {
  machine.options.seed = settings.seed;
  machine.options.envreg0 = settings.envreg0;
  machine.options.races = settings.races;
  machine.options.uninitialised = settings.uninitialised;
  machine.options.traffic = settings.count_traffic;
  machine.options.shared_limit = chip(settings.architecture).shared_optin;
}

void Runtime::report(std::string_view who, std::string_view what) {
  ++reports;
  fmt::print(stderr, "gpusim: {}: {}\n", who, what);
}

Runtime& runtime() {
  // Never destroyed: static destructors of the program still call in.
  static Runtime* const instance = new Runtime;
  return *instance;
}

int current_device() { return device_of_thread; }
void set_current_device(int device) { device_of_thread = device; }

cudaError_t last_error(bool clear) {
  const cudaError_t error = error_of_thread;
  if (clear) error_of_thread = cudaSuccess;
  return error != cudaSuccess ? error : runtime().sticky;
}

cudaError_t enter(std::string_view name) {
  Runtime& rt = runtime();
  if (in_host_code)
    return rt.refuse(cudaErrorNotPermitted, name, "called from a function of cudaLaunchHostFunc");
  if (rt.sticky != cudaSuccess) return rt.sticky;
  if (rt.settings.devices == 0) return cudaErrorNoDevice;
  if (++rt.calls == rt.settings.fail_call) {
    fmt::print(stderr, "gpusim: {}: fails as asked (call {})\n", name, rt.calls);
    rt.fail(cudaErrorUnknown);
  }
  return rt.sticky;
}

cudaError_t leave(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) error_of_thread = error;
  return error;
}

HostCode::HostCode() { in_host_code = true; }
HostCode::~HostCode() { in_host_code = false; }

}  // namespace gpusim
