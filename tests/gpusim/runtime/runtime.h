// The state of the fake CUDA runtime, one a process, and what every entry point does first and
// last.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "tests/gpusim/ptx/machine.h"
#include "tests/gpusim/runtime/memory.h"
#include "tests/gpusim/runtime/modules.h"
#include "tests/gpusim/runtime/settings.h"
#include "tests/gpusim/runtime/stream.h"

namespace gpusim {

struct Runtime {
  Runtime();

  std::mutex mutex;  // guards everything here
  Settings settings;
  Machine machine;
  Memory memory;
  Scheduler scheduler;
  Modules modules;
  std::set<cudaEvent_t> events;
  std::uint64_t calls = 0, launches = 0, reports = 0;
  cudaError_t sticky = cudaSuccess;  // what every call returns from now on

  // One line on stderr; the exit status of the process will tell (GPUSIM_TOLERATE).
  void report(std::string_view who, std::string_view what);
  // As a GPU whose context is lost: all later calls return `error`.
  void fail(cudaError_t error) {
    if (sticky == cudaSuccess) sticky = error;
  }
  // Reports, and returns `error` for the call to return.
  cudaError_t refuse(cudaError_t error, std::string_view who, std::string_view what) {
    report(who, what);
    return error;
  }
  // options of the machine as settings say.
  void apply_settings();
};

Runtime& runtime();

// Of the calling thread.
int current_device();
void set_current_device(int device);
cudaError_t last_error(bool clear);

// What a call returns before it does anything: an error it was asked for, the sticky one, or that
// of a call from code that must make none. cudaSuccess: go on.
cudaError_t enter(std::string_view name);
// Remembers the error for cudaGetLastError.
cudaError_t leave(cudaError_t error);

// The body of an entry point: body(Lock&) -> cudaError_t.
template <class Body>
cudaError_t api(std::string_view name, Body body) {
  Lock lock(runtime().mutex);
  const cudaError_t refused = enter(name);
  return leave(refused != cudaSuccess ? refused : body(lock));
}

// Marks the calling thread as running code of cudaLaunchHostFunc.
class HostCode {
 public:
  HostCode();
  ~HostCode();
};

}  // namespace gpusim
