// Kernel launches, and what programs ask about kernels.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/gpusim/runtime/device.h"
#include "tests/gpusim/runtime/runtime.h"

using namespace gpusim;

namespace {

// The interpreter does not allocate registers: occupancy supposes this many a thread. The budget
// table of the real build has the true numbers.
constexpr int kSupposedRegisters = 64;

cudaError_t error_of(Fault fault) {
  switch (fault) {
    case Fault::kOutOfBounds:
    case Fault::kWrongDevice:
      return cudaErrorIllegalAddress;
    case Fault::kMisaligned:
      return cudaErrorMisalignedAddress;
    case Fault::kTrap:
      return cudaErrorAssert;
    case Fault::kStepLimit:
    case Fault::kDeadlock:
      return cudaErrorLaunchTimeout;
    default:
      return cudaErrorLaunchFailure;
  }
}

// A kernel by the address of its host stand-in, with its code.
cudaError_t find(const char* who, const void* handle, Kernel** kernel) {
  Runtime& rt = runtime();
  *kernel = rt.modules.kernel(handle);
  if (*kernel == nullptr)
    return rt.refuse(cudaErrorInvalidDeviceFunction, who, "no such kernel was registered");
  if ((*kernel)->code->module == nullptr)
    return rt.refuse(cudaErrorNoKernelImageForDevice, who,
                     fmt::format("kernel {}: {}", (*kernel)->name, (*kernel)->code->problem));
  return cudaSuccess;
}

cudaError_t check_geometry(const Kernel& kernel, dim3 grid, dim3 block, std::size_t shared) {
  Runtime& rt = runtime();
  const auto wrong = [&](cudaError_t error, const std::string& what) {
    return rt.refuse(error, "launch", fmt::format("kernel {}: {}", kernel.name, what));
  };
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64)
    return wrong(cudaErrorInvalidConfiguration,
                 fmt::format("blocks of {} x {} x {} threads", block.x, block.y, block.z));
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535)
    return wrong(cudaErrorInvalidConfiguration,
                 fmt::format("a grid of {} x {} x {} blocks", grid.x, grid.y, grid.z));
  const std::size_t fixed = Machine::static_shared(*kernel.code->module, kernel.name);
  const auto most = static_cast<std::size_t>(kernel.most_dynamic_shared);
  if (shared > most || shared + fixed > chip(rt.settings.architecture).shared_optin)
    return wrong(cudaErrorInvalidValue,
                 fmt::format("{} bytes of dynamic and {} of static shared memory, where {} dynamic "
                             "are allowed (cudaFuncSetAttribute) and {} in all",
                             shared, fixed, most, chip(rt.settings.architecture).shared_optin));
  return cudaSuccess;
}

// Runs when the stream comes to it, on arguments copied at the call.
std::function<void()> kernel_run(const Kernel& kernel, dim3 grid, dim3 block, std::size_t shared,
                                 void** arguments, int device) {
  auto values = std::make_shared<std::vector<std::vector<std::byte>>>();
  const auto* sizes = Machine::parameter_bytes(*kernel.code->module, kernel.name);
  if (sizes != nullptr)
    for (std::size_t i = 0; i < sizes->size(); ++i) {
      const auto* value = static_cast<const std::byte*>(arguments[i]);
      values->emplace_back(value, value + (*sizes)[i]);
    }
  const Module* module = kernel.code->module;
  return [=, name = kernel.name] {
    std::vector<void*> pointers;
    for (auto& value : *values) pointers.push_back(value.data());
    Launch launch;
    launch.module = module;
    launch.kernel = name;
    launch.grid = {grid.x, grid.y, grid.z};
    launch.block = {block.x, block.y, block.z};
    launch.dynamic_shared = shared;
    launch.arguments = pointers.data();
    launch.device = device;
    Runtime& rt = runtime();
    if (rt.sticky != cudaSuccess) return;
    if (const auto report = rt.machine.launch(launch)) {
      rt.report("kernel", report->text());
      rt.fail(error_of(report->fault));
    }
  };
}

cudaError_t launch(const void* handle, dim3 grid, dim3 block, void** arguments, std::size_t shared,
                   cudaStream_t stream_handle) {
  return api("cudaLaunchKernel", [&](Lock& lock) {
    Runtime& rt = runtime();
    Kernel* kernel = nullptr;
    cudaError_t error = find("launch", handle, &kernel);
    if (error == cudaSuccess) error = check_geometry(*kernel, grid, block, shared);
    if (error != cudaSuccess) return error;
    Stream* stream = rt.scheduler.resolve(stream_handle, current_device());
    if (stream == nullptr || stream->device != current_device())
      return rt.refuse(cudaErrorInvalidResourceHandle, "launch",
                       fmt::format("kernel {}: the stream is of no device or another one than the "
                                   "current, {}",
                                   kernel->name, current_device()));
    Operation operation;
    operation.what = fmt::format("kernel {}", kernel->name);
    operation.run = kernel_run(*kernel, grid, block, shared, arguments, stream->device);
    const std::uint64_t number = ++rt.launches;
    if (number == rt.settings.fail_launch)
      operation.run = [name = kernel->name] {
        fmt::print(stderr, "gpusim: kernel {}: dies as asked\n", name);
        runtime().fail(cudaErrorLaunchFailure);
      };
    if (number == rt.settings.hang) {
      fmt::print(stderr, "gpusim: kernel {}: never ends, as asked\n", kernel->name);
      rt.scheduler.hang();
      operation.ready = [] { return false; };
    }
    rt.scheduler.enqueue(lock, *stream, std::move(operation));
    return rt.sticky;
  });
}

// Blocks of a kernel that fit one multiprocessor, by threads, shared memory and registers.
int blocks_per_sm(const Kernel& kernel, int threads, std::size_t dynamic_shared) {
  const Chip& c = chip(runtime().settings.architecture);
  const int warps = (threads + 31) / 32;
  int blocks = std::min(c.blocks_per_sm, c.threads_per_sm / (warps * 32));
  blocks = std::min(blocks, 65536 / (kSupposedRegisters * warps * 32));
  constexpr std::size_t kReserved = 1024;  // the driver's own, of every block
  const std::size_t shared =
      Machine::static_shared(*kernel.code->module, kernel.name) + dynamic_shared + kReserved;
  return std::min(blocks, static_cast<int>(c.shared_per_sm / shared));
}

}  // namespace

extern "C" {

cudaError_t cudaLaunchKernel(const void* handle, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared, cudaStream_t stream) {
  return launch(handle, grid, block, arguments, shared, stream);
}

// nvcc's own form: since CUDA 12 the stand-in is exchanged for a cudaKernel_t first. Here they are
// the same.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* handle) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(handle));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               std::size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, arguments, shared, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* handle,
                                void** arguments) {
  if (config->numAttrs != 0)
    return api("cudaLaunchKernelExC", [](Lock&) {
      return runtime().refuse(cudaErrorNotSupported, "cudaLaunchKernelExC",
                              "launch attributes (clusters, programmatic launch) are not emulated");
    });
  return launch(handle, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
                config->stream);
}

cudaError_t cudaLaunchCooperativeKernel(const void*, dim3, dim3, void**, std::size_t,
                                        cudaStream_t) {
  return api("cudaLaunchCooperativeKernel", [](Lock&) {
    return runtime().refuse(cudaErrorNotSupported, "cudaLaunchCooperativeKernel",
                            "grid-wide barriers are not emulated");
  });
}

cudaError_t cudaFuncSetAttribute(const void* handle, cudaFuncAttribute which, int value) {
  return api("cudaFuncSetAttribute", [&](Lock&) {
    Runtime& rt = runtime();
    Kernel* kernel = nullptr;
    const cudaError_t error = find("cudaFuncSetAttribute", handle, &kernel);
    if (error != cudaSuccess) return error;
    if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    const std::size_t fixed = Machine::static_shared(*kernel->code->module, kernel->name);
    const std::size_t most = chip(rt.settings.architecture).shared_optin;
    if (value < 0 || static_cast<std::size_t>(value) + fixed > most)
      return rt.refuse(cudaErrorInvalidValue, "cudaFuncSetAttribute",
                       fmt::format("kernel {}: {} bytes of dynamic and {} of static shared memory "
                                   "are more than a block can have, {}",
                                   kernel->name, value, fixed, most));
    kernel->most_dynamic_shared = value;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* handle) {
  return api("cudaFuncGetAttributes", [&](Lock&) {
    Kernel* kernel = nullptr;
    const cudaError_t error = find("cudaFuncGetAttributes", handle, &kernel);
    if (error != cudaSuccess) return error;
    *attributes = {};
    attributes->sharedSizeBytes = Machine::static_shared(*kernel->code->module, kernel->name);
    attributes->maxThreadsPerBlock = 1024;
    attributes->numRegs = kSupposedRegisters;
    attributes->ptxVersion = attributes->binaryVersion = runtime().settings.architecture;
    attributes->maxDynamicSharedSizeBytes = kernel->most_dynamic_shared;
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* handle,
                                                                   int threads, std::size_t shared,
                                                                   unsigned) {
  return api("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&](Lock&) {
    Kernel* kernel = nullptr;
    const cudaError_t error = find("occupancy", handle, &kernel);
    if (error != cudaSuccess) return error;
    if (threads < 1 || threads > 1024) return cudaErrorInvalidValue;
    *blocks = blocks_per_sm(*kernel, threads, shared);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* handle,
                                                          int threads, std::size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, handle, threads, shared, 0);
}

}  // extern "C"
