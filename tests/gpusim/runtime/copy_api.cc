// Entry points of the cudaMemcpy and cudaMemset families.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>

#include "tests/gpusim/runtime/copy.h"
#include "tests/gpusim/runtime/runtime.h"

using namespace gpusim;

namespace {

Region region(const void* p, std::size_t pitch = 0) {
  return {static_cast<std::byte*>(const_cast<void*>(p)), pitch};
}

cudaError_t fill(Lock& lock, const char* who, void* p, int value, std::size_t bytes,
                 cudaStream_t handle) {
  Runtime& rt = runtime();
  Stream* stream = rt.scheduler.resolve(handle, current_device());
  if (stream == nullptr) return rt.refuse(cudaErrorInvalidResourceHandle, who, "no such stream");
  if (bytes == 0) return cudaSuccess;
  if (const auto fault = rt.memory.device_range_fault(p, bytes, -1))
    return rt.refuse(cudaErrorInvalidValue, who, *fault);
  Operation operation;
  operation.what = who;
  operation.run = [=] {
    Runtime& now = runtime();
    if (const auto fault = now.memory.device_range_fault(p, bytes, -1))
      return now.report(who, "when it ran: " + *fault);
    std::memset(p, value, bytes);
    now.machine.mark_initialised(p, bytes);
  };
  rt.scheduler.enqueue(lock, *stream, std::move(operation));
  return rt.sticky;
}

// The current device's copy of a variable; the range [offset, offset + bytes) must lie in it.
cudaError_t variable_range(const char* who, const void* symbol, std::size_t offset,
                           std::size_t bytes, std::byte** p) {
  Runtime& rt = runtime();
  Variable* variable = rt.modules.variable(symbol);
  if (variable == nullptr || variable->code->module == nullptr)
    return rt.refuse(cudaErrorInvalidSymbol, who,
                     variable == nullptr ? "no such variable" : variable->code->problem);
  if (offset > variable->bytes || bytes > variable->bytes - offset)
    return rt.refuse(cudaErrorInvalidValue, who,
                     fmt::format("bytes {} to {} of {}, which has {}", offset, offset + bytes,
                                 variable->name, variable->bytes));
  std::size_t size = 0;
  void* data = rt.machine.symbol(*variable->code->module, variable->name, current_device(), &size);
  if (data == nullptr) return cudaErrorInvalidSymbol;  // not used by any kernel: not in the PTX
  if (rt.memory.find(data) == nullptr) {
    rt.memory.adopt(data, size, current_device(), MemoryKind::kSymbol);
    variable->copies.push_back(data);
  }
  *p = static_cast<std::byte*>(data) + offset;
  return cudaSuccess;
}

cudaError_t copy_variable(const char* who, const void* symbol, std::size_t offset,
                          const void* other, std::size_t bytes, cudaMemcpyKind kind,
                          cudaStream_t stream, bool async, bool to_variable) {
  return api(who, [&](Lock& lock) {
    std::byte* p = nullptr;
    const cudaError_t error = variable_range(who, symbol, offset, bytes, &p);
    if (error != cudaSuccess) return error;
    Copy copy{who, region(other), region(p), bytes, 1, kind};
    if (to_variable) std::swap(copy.target, copy.source);
    return enqueue_copy(lock, copy, stream, async);
  });
}

cudaError_t copy_range(const char* who, void* to, const void* from, std::size_t bytes,
                       cudaMemcpyKind kind, cudaStream_t stream, bool async) {
  return api(who, [&](Lock& lock) {
    return enqueue_copy(lock, {who, region(to), region(from), bytes, 1, kind}, stream, async);
  });
}

cudaError_t copy_rows(const char* who, void* to, std::size_t to_pitch, const void* from,
                      std::size_t from_pitch, std::size_t row_bytes, std::size_t rows,
                      cudaMemcpyKind kind, cudaStream_t stream, bool async) {
  return api(who, [&](Lock& lock) {
    if (row_bytes > to_pitch || row_bytes > from_pitch) return cudaErrorInvalidPitchValue;
    return enqueue_copy(
        lock, {who, region(to, to_pitch), region(from, from_pitch), row_bytes, rows, kind}, stream,
        async);
  });
}

}  // namespace

extern "C" {

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return copy_range("cudaMemcpy", to, from, bytes, kind, nullptr, false);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy_range("cudaMemcpyAsync", to, from, bytes, kind, stream, true);
}

cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, std::size_t bytes) {
  return copy_range("cudaMemcpyPeer", to, from, bytes, cudaMemcpyDeviceToDevice, nullptr, false);
}

cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, std::size_t bytes,
                                cudaStream_t stream) {
  return copy_range("cudaMemcpyPeerAsync", to, from, bytes, cudaMemcpyDeviceToDevice, stream, true);
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t row_bytes, std::size_t rows, cudaMemcpyKind kind) {
  return copy_rows("cudaMemcpy2D", to, to_pitch, from, from_pitch, row_bytes, rows, kind, nullptr,
                   false);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t row_bytes, std::size_t rows,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_rows("cudaMemcpy2DAsync", to, to_pitch, from, from_pitch, row_bytes, rows, kind,
                   stream, true);
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, std::size_t bytes,
                               std::size_t offset, cudaMemcpyKind kind) {
  return copy_variable("cudaMemcpyToSymbol", symbol, offset, from, bytes, kind, nullptr, false,
                       true);
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, std::size_t bytes,
                                    std::size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_variable("cudaMemcpyToSymbolAsync", symbol, offset, from, bytes, kind, stream, true,
                       true);
}

cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, std::size_t bytes,
                                 std::size_t offset, cudaMemcpyKind kind) {
  return copy_variable("cudaMemcpyFromSymbol", symbol, offset, to, bytes, kind, nullptr, false,
                       false);
}

cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, std::size_t bytes,
                                      std::size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  return copy_variable("cudaMemcpyFromSymbolAsync", symbol, offset, to, bytes, kind, stream, true,
                       false);
}

cudaError_t cudaGetSymbolAddress(void** p, const void* symbol) {
  return api("cudaGetSymbolAddress", [&](Lock&) {
    std::byte* data = nullptr;
    const cudaError_t error = variable_range("cudaGetSymbolAddress", symbol, 0, 0, &data);
    *p = data;
    return error;
  });
}

cudaError_t cudaGetSymbolSize(std::size_t* bytes, const void* symbol) {
  return api("cudaGetSymbolSize", [&](Lock&) {
    const Variable* variable = runtime().modules.variable(symbol);
    if (variable == nullptr) return cudaErrorInvalidSymbol;
    *bytes = variable->bytes;
    return cudaSuccess;
  });
}

cudaError_t cudaMemset(void* p, int value, std::size_t bytes) {
  return api("cudaMemset",
             [&](Lock& lock) { return fill(lock, "cudaMemset", p, value, bytes, nullptr); });
}

cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  return api("cudaMemsetAsync",
             [&](Lock& lock) { return fill(lock, "cudaMemsetAsync", p, value, bytes, stream); });
}

}  // extern "C"
