// Kernels and device variables of the program, as nvcc's start-up code registers them.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/gpusim/ptx/machine.h"

namespace gpusim {

// One translation unit's device code.
struct DeviceCode {
  const Module* module = nullptr;
  std::string problem;  // why there is no module
};

struct Kernel {
  const DeviceCode* code = nullptr;
  std::string name;                    // mangled
  int most_dynamic_shared = 48 << 10;  // cudaFuncAttributeMaxDynamicSharedMemorySize
};

struct Variable {
  const DeviceCode* code = nullptr;
  std::string name;
  std::size_t bytes = 0;
  std::vector<const void*> copies;  // addresses handed out, one a device that asked
};

class Modules {
 public:
  DeviceCode* add(Machine& machine, const void* fat_binary_wrapper, int architecture);
  // Returns the addresses of its variables that were handed out.
  std::vector<const void*> remove(Machine& machine, DeviceCode* code);
  void add_kernel(const void* handle, const DeviceCode* code, const char* name);
  void add_variable(const void* handle, const DeviceCode* code, const char* name,
                    std::size_t bytes);
  // By the address of the host's stand-in; null if unknown.
  Kernel* kernel(const void* handle);
  Variable* variable(const void* handle);

 private:
  std::vector<std::unique_ptr<DeviceCode>> codes_;
  std::map<const void*, Kernel> kernels_;
  std::map<const void*, Variable> variables_;
};

}  // namespace gpusim
