// Entry points that take and give back memory.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "tests/gpusim/runtime/runtime.h"

using namespace gpusim;

namespace {

cudaError_t take(void** p, std::size_t bytes, MemoryKind kind) {
  if (p == nullptr) return cudaErrorInvalidValue;
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  *p = runtime().memory.allocate(bytes, current_device(), kind);
  return *p != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

// As the real ones, waits for the devices that may still use the memory.
cudaError_t give(Lock& lock, const char* who, void* p, bool device_side) {
  if (p == nullptr) return cudaSuccess;
  Runtime& rt = runtime();
  const Allocation* allocation = rt.memory.find(p);
  const auto owned = [device_side](const Allocation& a) {
    return device_side ? a.kind <= MemoryKind::kManaged : a.kind == MemoryKind::kPinned;
  };
  if (allocation == nullptr || allocation->begin != p || !owned(*allocation))
    return rt.refuse(cudaErrorInvalidValue, who,
                     fmt::format("{} does not begin an allocation of that kind", p));
  const int first = device_side ? allocation->device : 0;
  const int last = device_side ? allocation->device : rt.settings.devices - 1;
  for (int device = first; device <= last; ++device)
    if (!rt.scheduler.wait_for_device(lock, device)) return rt.sticky;
  rt.memory.release(p);
  return cudaSuccess;
}

cudaError_t take_in_stream(const char* who, void** p, std::size_t bytes, cudaStream_t handle) {
  return api(who, [&](Lock&) {
    Stream* stream = runtime().scheduler.resolve(handle, current_device());
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    return take(p, bytes, MemoryKind::kPool);
  });
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  return api("cudaMalloc", [&](Lock&) { return take(p, bytes, MemoryKind::kDevice); });
}

cudaError_t cudaMallocManaged(void** p, std::size_t bytes, unsigned) {
  return api("cudaMallocManaged", [&](Lock&) { return take(p, bytes, MemoryKind::kManaged); });
}

cudaError_t cudaMallocHost(void** p, std::size_t bytes) {
  return api("cudaMallocHost", [&](Lock&) { return take(p, bytes, MemoryKind::kPinned); });
}

cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
  return api("cudaHostAlloc", [&](Lock&) { return take(p, bytes, MemoryKind::kPinned); });
}

cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t stream) {
  return take_in_stream("cudaMallocAsync", p, bytes, stream);
}

cudaError_t cudaMallocFromPoolAsync(void** p, std::size_t bytes, cudaMemPool_t,
                                    cudaStream_t stream) {
  return take_in_stream("cudaMallocFromPoolAsync", p, bytes, stream);
}

cudaError_t cudaFree(void* p) {
  return api("cudaFree", [&](Lock& lock) { return give(lock, "cudaFree", p, true); });
}

cudaError_t cudaFreeHost(void* p) {
  return api("cudaFreeHost", [&](Lock& lock) { return give(lock, "cudaFreeHost", p, false); });
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t handle) {
  return api("cudaFreeAsync", [&](Lock& lock) {
    Runtime& rt = runtime();
    Stream* stream = rt.scheduler.resolve(handle, current_device());
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (p == nullptr) return cudaSuccess;
    const auto owned = [p] {
      const Allocation* a = runtime().memory.find(p);
      return a != nullptr && a->begin == p && a->kind <= MemoryKind::kPool;
    };
    if (!owned())
      return rt.refuse(cudaErrorInvalidValue, "cudaFreeAsync",
                       fmt::format("{} does not begin an allocation of that kind", p));
    Operation operation{"cudaFreeAsync", {}, {}, {}};
    operation.run = [owned, p] {
      if (owned()) return runtime().memory.release(p);
      runtime().report("cudaFreeAsync", fmt::format("{} was freed twice", p));
    };
    rt.scheduler.enqueue(lock, *stream, std::move(operation));
    return cudaSuccess;
  });
}

cudaError_t cudaHostRegister(void* p, std::size_t bytes, unsigned) {
  return api("cudaHostRegister", [&](Lock&) {
    if (p == nullptr || bytes == 0) return cudaErrorInvalidValue;
    if (runtime().memory.overlaps(p, bytes)) return cudaErrorHostMemoryAlreadyRegistered;
    runtime().memory.adopt(p, bytes, current_device(), MemoryKind::kRegistered);
    return cudaSuccess;
  });
}

cudaError_t cudaHostUnregister(void* p) {
  return api("cudaHostUnregister", [&](Lock& lock) {
    Runtime& rt = runtime();
    const Allocation* allocation = rt.memory.find(p);
    if (allocation == nullptr || allocation->begin != p ||
        allocation->kind != MemoryKind::kRegistered)
      return cudaErrorHostMemoryNotRegistered;
    for (int device = 0; device < rt.settings.devices; ++device)
      if (!rt.scheduler.wait_for_device(lock, device)) return rt.sticky;
    rt.memory.abandon(p);
    return cudaSuccess;
  });
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return api("cudaHostGetDevicePointer", [&](Lock&) {
    const Allocation* allocation = runtime().memory.find(host);
    if (allocation == nullptr || !allocation->host_side()) return cudaErrorInvalidValue;
    *device = host;
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return api("cudaMemGetInfo", [&](Lock&) {
    *total = runtime().settings.memory_bytes;
    *free = runtime().memory.free_bytes(current_device());
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  return api("cudaPointerGetAttributes", [&](Lock&) {
    *attributes = {};
    attributes->device = current_device();
    attributes->hostPointer = const_cast<void*>(p);
    const Allocation* allocation = runtime().memory.find(p);
    if (allocation == nullptr) {
      attributes->type = cudaMemoryTypeUnregistered;
      return cudaSuccess;
    }
    attributes->type = allocation->kind == MemoryKind::kManaged ? cudaMemoryTypeManaged
                       : allocation->device_side()              ? cudaMemoryTypeDevice
                                                                : cudaMemoryTypeHost;
    attributes->device = allocation->device;
    attributes->devicePointer = const_cast<void*>(p);
    if (!allocation->host_side()) attributes->hostPointer = nullptr;
    return cudaSuccess;
  });
}

// One pool a device, without limits of its own.
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return api("cudaDeviceGetDefaultMemPool", [&](Lock&) {
    if (device < 0 || device >= runtime().settings.devices) return cudaErrorInvalidDevice;
    static char pools[kMostDevices];
    *pool = reinterpret_cast<cudaMemPool_t>(&pools[device]);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return api("cudaMemPoolSetAttribute", [](Lock&) { return cudaSuccess; });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  return api("cudaMemPoolTrimTo", [](Lock&) { return cudaSuccess; });
}

}  // extern "C"
