#include "tests/gpusim/runtime/device.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <climits>

#include "tests/gpusim/runtime/runtime.h"

namespace gpusim {
namespace {

constexpr std::size_t operator""_KB(unsigned long long n) { return n << 10; }
constexpr int operator""_MB(unsigned long long n) { return static_cast<int>(n << 20); }

constexpr std::array kChips = {
    Chip{75, 40, 64_KB, 64_KB, 1024, 16, 4_MB},        // T4
    Chip{80, 108, 163_KB, 164_KB, 2048, 32, 40_MB},    // A100
    Chip{90, 132, 227_KB, 228_KB, 2048, 32, 50_MB},    // H100
    Chip{100, 148, 227_KB, 228_KB, 2048, 32, 126_MB},  // B200
    Chip{120, 170, 99_KB, 100_KB, 1536, 24, 96_MB},    // RTX 5090
};

cudaDeviceProp properties(int device) {
  const Runtime& rt = runtime();
  const Chip& c = chip(rt.settings.architecture);
  cudaDeviceProp p = {};
  *fmt::format_to_n(p.name, sizeof(p.name) - 1, "gpusim {} compute {}.{}", device,
                    c.architecture / 10, c.architecture % 10)
       .out = '\0';
  p.major = c.architecture / 10;
  p.minor = c.architecture % 10;
  p.multiProcessorCount =
      rt.settings.multiprocessors > 0 ? rt.settings.multiprocessors : c.multiprocessors;
  p.warpSize = 32;
  p.maxThreadsPerBlock = 1024;
  p.maxThreadsPerMultiProcessor = c.threads_per_sm;
  p.maxBlocksPerMultiProcessor = c.blocks_per_sm;
  p.sharedMemPerBlock = 48_KB;
  p.sharedMemPerBlockOptin = c.shared_optin;
  p.sharedMemPerMultiprocessor = c.shared_per_sm;
  p.reservedSharedMemPerBlock = 1_KB;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.totalGlobalMem = rt.settings.memory_bytes;
  p.totalConstMem = 64_KB;
  p.l2CacheSize = c.l2_bytes;
  p.unifiedAddressing = 1;
  p.managedMemory = 1;
  p.memoryPoolsSupported = 1;
  p.asyncEngineCount = 3;
  p.concurrentKernels = 1;
  p.canMapHostMemory = 1;
  p.maxGridSize[0] = INT_MAX;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.pciBusID = device + 1;
  return p;
}

bool attribute(const cudaDeviceProp& p, cudaDeviceAttr which, int* value) {
  const auto as_int = [](std::size_t n) { return static_cast<int>(n); };
  switch (which) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      return true;
    case cudaDevAttrMaxGridDimX:
      *value = p.maxGridSize[0];
      return true;
    case cudaDevAttrMaxGridDimY:
      *value = p.maxGridSize[1];
      return true;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      return true;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      return true;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      return true;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      return true;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = as_int(p.sharedMemPerBlock);
      return true;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = as_int(p.sharedMemPerBlockOptin);
      return true;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = as_int(p.sharedMemPerMultiprocessor);
      return true;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = as_int(p.reservedSharedMemPerBlock);
      return true;
    case cudaDevAttrMaxRegistersPerBlock:
      *value = p.regsPerBlock;
      return true;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = p.regsPerMultiprocessor;
      return true;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      return true;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = p.maxBlocksPerMultiProcessor;
      return true;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      return true;
    case cudaDevAttrAsyncEngineCount:
      *value = p.asyncEngineCount;
      return true;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      return true;
    case cudaDevAttrPciBusId:
      *value = p.pciBusID;
      return true;
    case cudaDevAttrIntegrated:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrPageableMemoryAccess:
      *value = 0;
      return true;
    default:
      return false;
  }
}

bool is_device(int device) { return device >= 0 && device < runtime().settings.devices; }

}  // namespace

const Chip& chip(int architecture) {
  const auto newer = std::find_if(kChips.begin(), kChips.end(), [architecture](const Chip& c) {
    return c.architecture > architecture;
  });
  return newer == kChips.begin() ? kChips.front() : *std::prev(newer);
}

}  // namespace gpusim

using namespace gpusim;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return api("cudaGetDeviceCount", [&](Lock&) {
    *count = runtime().settings.devices;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return api("cudaSetDevice", [&](Lock&) {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    set_current_device(device);
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return api("cudaGetDevice", [&](Lock&) {
    *device = current_device();
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  return api("cudaGetDeviceProperties", [&](Lock&) {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    *p = properties(device);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
  return api("cudaDeviceGetAttribute", [&](Lock&) {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    if (attribute(properties(device), which, value)) return cudaSuccess;
    return runtime().refuse(cudaErrorInvalidValue, "cudaDeviceGetAttribute",
                            fmt::format("attribute {} is not emulated", static_cast<int>(which)));
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int bytes, int device) {
  return api("cudaDeviceGetPCIBusId", [&](Lock&) {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    const std::string id = fmt::format("0000:{:02x}:00.0", device + 1);
    if (bytes <= static_cast<int>(id.size())) return cudaErrorInvalidValue;
    id.copy(text, id.size());
    text[id.size()] = '\0';
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return api("cudaDeviceGetStreamPriorityRange", [&](Lock&) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
  });
}

// Kernels of one device cannot touch another's memory here; copies can.
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return api("cudaDeviceCanAccessPeer", [&](Lock&) {
    *can = 0;
    return is_device(device) && is_device(peer) ? cudaSuccess : cudaErrorInvalidDevice;
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) {
  return api("cudaDeviceEnablePeerAccess", [](Lock&) { return cudaErrorPeerAccessUnsupported; });
}

cudaError_t cudaSetDeviceFlags(unsigned) {
  return api("cudaSetDeviceFlags", [](Lock&) { return cudaSuccess; });
}

cudaError_t cudaDeviceSynchronize() {
  return api("cudaDeviceSynchronize", [](Lock& lock) {
    runtime().scheduler.wait_for_device(lock, current_device());
    return runtime().sticky;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

}  // extern "C"
