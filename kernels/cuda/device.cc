#include "kernels/cuda/device.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

namespace muster::kernels::cuda {

namespace {

struct {
  void (*call)(void*, const char*, const char*) = nullptr;
  void* context = nullptr;
} failure_hook;

/// One word for people who count (gpu_errors_total).
const char* class_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "memory";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorAssert:
    case cudaErrorLaunchFailure:
      return "kernel";
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorNvlinkUncorrectable:
      return "hardware";
    default:
      return "driver";
  }
}

}  // namespace

void on_device_failure(void (*call)(void*, const char*, const char*), void* context) {
  failure_hook = {call, context};
}

void device_failed(const char* error_class, const std::string& what) {
  static std::atomic_flag failing;
  while (failing.test_and_set()) ::pause();  // another thread is on its way out
  const std::string line =
      "the GPU failed: " + what + "; acknowledged updates are in the spool, the next start resumes";
  if (failure_hook.call != nullptr)
    failure_hook.call(failure_hook.context, error_class, line.c_str());
  std::fputs((line + "\n").c_str(), stderr);
  ::_exit(kDeviceExit);  // destructors would call the failed device again
}

void must(cudaError_t error, const char* call) {
  if (error != cudaSuccess) [[unlikely]]
    device_failed(class_of(error), fmt::format("{}: {} ({})", call, cudaGetErrorString(error),
                                               static_cast<int>(error)));
}

Status started(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // so that a later look finds no old error
  return {Code::kUnavailable, "cuda_unavailable",
          fmt::format("{}: {} ({})", what, cudaGetErrorString(error), static_cast<int>(error))};
}

Result<int> device_count() {
  int count = 0;
  MUSTER_TRY(started(cudaGetDeviceCount(&count), "no CUDA device"));
  return count;
}

Result<Device> Device::open(int ordinal) {
  MUSTER_TRY(started(cudaSetDevice(ordinal), "the CUDA device cannot be used"));
  cudaDeviceProp properties{};
  MUSTER_TRY(started(cudaGetDeviceProperties(&properties, ordinal), "the CUDA device is silent"));
  Device device;
  device.ordinal = ordinal;
  device.name = properties.name;
  device.major = properties.major;
  device.minor = properties.minor;
  device.multiprocessors = properties.multiProcessorCount;
  device.shared_bytes = properties.sharedMemPerBlockOptin;
  if (10 * device.major + device.minor < kLeastCapability)
    return Status(Code::kUnavailable, "cuda_unavailable",
                  fmt::format("{} has compute capability {}.{}, 8.0 is the least", device.name,
                              device.major, device.minor));
  MUSTER_TRY(started(cudaMemGetInfo(&device.free_bytes, &device.memory_bytes),
                     "the CUDA device does not say how much memory it has"));
  return device;
}

namespace {

template <class Memory, class Allocate>
Result<Memory> allocate(std::size_t bytes, const char* kind, const Allocate& call) {
  void* memory = nullptr;
  const cudaError_t error = call(&memory);
  if (error == cudaSuccess) return Memory(static_cast<std::byte*>(memory));
  cudaGetLastError();
  return Status(
      Code::kExhausted, "backend_memory",
      fmt::format("{} bytes of {} memory refused: {}", bytes, kind, cudaGetErrorString(error)));
}

}  // namespace

Result<DeviceMemory> allocate_device(std::size_t bytes) {
  return allocate<DeviceMemory>(bytes, "device",
                                [&](void** memory) { return cudaMalloc(memory, bytes); });
}

Result<PinnedMemory> allocate_pinned(std::size_t bytes) {
  return allocate<PinnedMemory>(bytes, "pinned", [&](void** memory) {
    return cudaHostAlloc(memory, bytes, cudaHostAllocPortable);
  });
}

}  // namespace muster::kernels::cuda
