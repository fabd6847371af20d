// Backend memory that is given back at the end of a scope; inside this room only.
#pragma once

#include <utility>

#include "kernels/backend.h"

namespace muster::robust {

class ScopedBuffer {
 public:
  static Result<ScopedBuffer> allocate(kernels::Backend& backend, std::size_t bytes) {
    MUSTER_ASSIGN(const kernels::Buffer buffer, backend.allocate(bytes));
    return ScopedBuffer(backend, buffer);
  }
  /// As Backend::allocate_by_chunk.
  static Result<ScopedBuffer> allocate_by_chunk(kernels::Backend& backend, std::size_t bytes,
                                                std::size_t piece_bytes) {
    MUSTER_ASSIGN(const kernels::Buffer buffer, backend.allocate_by_chunk(bytes, piece_bytes));
    return ScopedBuffer(backend, buffer);
  }
  ScopedBuffer(ScopedBuffer&& other) noexcept
      : backend_(other.backend_), buffer_(std::exchange(other.buffer_, {})) {}
  ScopedBuffer& operator=(ScopedBuffer&&) = delete;
  ~ScopedBuffer() {
    if (buffer_.data != nullptr) backend_->release(buffer_);
  }

  std::byte* data() const { return buffer_.data; }
  template <class T>
  T* as() const {
    return buffer_.as<T>();
  }

 private:
  ScopedBuffer(kernels::Backend& backend, kernels::Buffer buffer)
      : backend_(&backend), buffer_(buffer) {}

  kernels::Backend* backend_;
  kernels::Buffer buffer_;
};

}  // namespace muster::robust
