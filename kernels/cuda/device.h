// The device, and the one way errors of CUDA leave it.
//
// At start an error is a refusal that says what was asked for. Afterwards it is the end of the
// process, in one line: a failed device gives no more results that could be trusted, what was
// acknowledged is in the spool, and the next start resumes from there.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

#include "base/status.h"

namespace muster::kernels::cuda {

/// Tells who asked for it, prints one line and leaves with kDeviceExit. From any thread.
/// `error_class`: one word (docs/gpu.md).
[[noreturn]] void device_failed(const char* error_class, const std::string& what);
/// What device_failed() calls first; of the process.
void on_device_failure(void (*call)(void* context, const char* error_class, const char* sentence),
                       void* context);
/// EX_UNAVAILABLE, what musterd says wherever something outside of it failed.
inline constexpr int kDeviceExit = 69;

/// device_failed() unless the call went well.
void must(cudaError_t error, const char* call);
#define MUSTER_CUDA(call) ::muster::kernels::cuda::must((call), #call)

/// OK, or kUnavailable / "cuda_unavailable" with what the runtime says about it.
Status started(cudaError_t error, const char* what);

struct Device {
  int ordinal = 0;
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  std::size_t shared_bytes = 0;  ///< shared memory that a block may ask for
  std::size_t memory_bytes = 0, free_bytes = 0;

  /// Makes device `ordinal` current for this thread. Refuses where there is no driver, no device,
  /// or one below kLeastCapability.
  static Result<Device> open(int ordinal);
};
/// Ten times major and minor: Ampere. Turing, the oldest that CUDA 13 compiles for, has 64 KiB of
/// shared memory a block, and selection by digits and windows take more.
inline constexpr int kLeastCapability = 80;

struct DeviceFree {
  void operator()(std::byte* memory) const { cudaFree(memory); }
};
struct PinnedFree {
  void operator()(std::byte* memory) const { cudaFreeHost(memory); }
};
using DeviceMemory = std::unique_ptr<std::byte, DeviceFree>;
using PinnedMemory = std::unique_ptr<std::byte, PinnedFree>;

/// How many there are. Where there is no driver or none answers: "cuda_unavailable".
Result<int> device_count();

/// The only allocations there are: once each, at start. kExhausted / "backend_memory" with numbers.
Result<DeviceMemory> allocate_device(std::size_t bytes);
Result<PinnedMemory> allocate_pinned(std::size_t bytes);

}  // namespace muster::kernels::cuda
