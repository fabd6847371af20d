// What the start-up code that nvcc adds to every program calls: crt/host_runtime.h of the toolkit.
#include <cuda_runtime_api.h>

#include <vector>

#include "tests/gpusim/runtime/runtime.h"

using namespace gpusim;

namespace {

struct Configuration {
  dim3 grid, block;
  std::size_t shared;
  cudaStream_t stream;
};

// <<<...>>> of this thread, pushed by the caller and popped by the kernel's stand-in.
thread_local std::vector<Configuration> configurations;

DeviceCode* code_of(void** handle) { return reinterpret_cast<DeviceCode*>(handle); }

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  Runtime& rt = runtime();
  const Lock lock(rt.mutex);
  return reinterpret_cast<void**>(rt.modules.add(rt.machine, wrapper, rt.settings.architecture));
}

void __cudaRegisterFatBinaryEnd(void**) {}

void __cudaUnregisterFatBinary(void** handle) {
  Runtime& rt = runtime();
  const Lock lock(rt.mutex);
  for (const void* variable : rt.modules.remove(rt.machine, code_of(handle)))
    rt.memory.abandon(variable);
}

char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void** handle, const char* stand_in, char*, const char* name, int,
                            uint3*, uint3*, dim3*, dim3*, int*) {
  const Lock lock(runtime().mutex);
  runtime().modules.add_kernel(stand_in, code_of(handle), name);
}

void __cudaRegisterVar(void** handle, char* stand_in, char*, const char* name, int,
                       std::size_t bytes, int, int) {
  const Lock lock(runtime().mutex);
  runtime().modules.add_variable(stand_in, code_of(handle), name, bytes);
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared,
                                     CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  if (configurations.empty()) return cudaErrorMissingConfiguration;
  const Configuration& last = configurations.back();
  *grid = last.grid;
  *block = last.block;
  *shared = last.shared;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  configurations.pop_back();
  return cudaSuccess;
}

}  // extern "C"
