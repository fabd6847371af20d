// Backend memory that goes with its scope; inside this room only.
#pragma once

#include <utility>

#include "kernels/backend.h"

namespace muster::privacy {

class Scratch {
 public:
  static Result<Scratch> allocate(kernels::Backend& backend, std::size_t bytes) {
    MUSTER_ASSIGN(const kernels::Buffer buffer, backend.allocate(bytes));
    return Scratch(backend, buffer);
  }
  Scratch(Scratch&& other) noexcept
      : backend_(other.backend_), buffer_(std::exchange(other.buffer_, {})) {}
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch() {
    if (buffer_.data != nullptr) backend_->release(buffer_);
  }

  template <class T>
  T* as() const {
    return buffer_.as<T>();
  }

 private:
  Scratch(kernels::Backend& backend, kernels::Buffer buffer)
      : backend_(&backend), buffer_(buffer) {}
  kernels::Backend* backend_;
  kernels::Buffer buffer_;
};

}  // namespace muster::privacy
