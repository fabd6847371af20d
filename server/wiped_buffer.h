// Backend memory that held something of single devices: zeros before it is given back.
#pragma once

#include <utility>

#include "kernels/backend.h"

namespace muster::server {

class WipedBuffer {
 public:
  static Result<WipedBuffer> allocate(kernels::Backend& backend, std::size_t bytes) {
    MUSTER_ASSIGN(const kernels::Buffer buffer, backend.allocate(bytes));
    return WipedBuffer(backend, buffer);
  }
  WipedBuffer(WipedBuffer&& other) noexcept
      : backend_(other.backend_), buffer_(std::exchange(other.buffer_, {})) {}
  WipedBuffer& operator=(WipedBuffer&&) = delete;
  ~WipedBuffer() {
    if (buffer_.data == nullptr) return;
    wipe();
    backend_->release(buffer_);
  }

  /// Zeros, and waits for them.
  void wipe() const {
    backend_->fill_zero(buffer_.data, buffer_.bytes, kernels::Stream::kCompute);
    backend_->wait(backend_->record(kernels::Stream::kCompute));
  }
  std::byte* data() const { return buffer_.data; }
  template <class T>
  T* as() const {
    return buffer_.as<T>();
  }

 private:
  WipedBuffer(kernels::Backend& backend, kernels::Buffer buffer)
      : backend_(&backend), buffer_(buffer) {}

  kernels::Backend* backend_;
  kernels::Buffer buffer_;
};

}  // namespace muster::server
