// What an operation works with: a stream, tables on their way to the device, scratch, results back.
// One lives for one call of the backend.
#pragma once

#include <cuda_runtime_api.h>

#include <span>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/codes.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/queue.h"

namespace muster::kernels::cuda {

class Blas;

class Context {
 public:
  Context(Memory& memory, Queue& queue, Blas& blas, const Device& device, Stream stream);
  /// Gives the scratch back: what is queued still uses it, and so goes before all later work.
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  cudaStream_t stream() const { return queue_.stream(stream_); }
  int multiprocessors() const { return device_.multiprocessors; }
  /// Shared memory that a block may ask for.
  std::size_t shared_bytes() const { return device_.shared_bytes; }
  Blas& blas() const { return blas_; }

  /// Device memory until the end of the operation, 256-byte aligned, not initialised.
  template <class T>
  T* scratch(std::size_t count) {
    return reinterpret_cast<T*>(scratch_bytes(count * sizeof(T)));
  }
  /// A copy of a host table in scratch, there for whatever is queued after this.
  template <class T>
  const T* table(std::span<const T> host) {
    T* device = scratch<T>(host.size());
    queue_.stage(reinterpret_cast<std::byte*>(device), std::as_bytes(host), stream_);
    return device;
  }
  /// The same of a key; wipe() it when all that reads it is queued.
  template <class T>
  T* secret(std::span<const T> host) {
    T* device = scratch<T>(host.size());
    queue_.stage_secret(reinterpret_cast<std::byte*>(device), std::as_bytes(host), stream_);
    return device;
  }
  template <class T>
  void wipe(std::span<T> device) {
    queue_.wipe_secret(reinterpret_cast<std::byte*>(device.data()), device.size_bytes(), stream_);
  }
  /// Waits until all that was queued is done, and copies.
  template <class T>
  void fetch(std::span<T> host, const T* device) {
    queue_.fetch(std::as_writable_bytes(host), reinterpret_cast<const std::byte*>(device), stream_);
  }
  void fill_zero(void* target, std::size_t bytes);

  /// The codes with their tables on the device. Dies on codecs that do not decode one by one.
  CodesView codes(const Codes& codes);
  /// The same without looking at the codec: for expand().
  CodesView rows(const Codes& codes);

 private:
  std::byte* scratch_bytes(std::size_t bytes);

  Memory& memory_;
  Queue& queue_;
  Blas& blas_;
  const Device& device_;
  Stream stream_;
  std::vector<std::byte*> scratch_;
};

}  // namespace muster::kernels::cuda
