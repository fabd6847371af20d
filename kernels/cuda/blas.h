// cuBLAS, for what tensor cores do exactly.
#pragma once

#include <cublas_v2.h>

#include <memory>

#include "base/status.h"

namespace muster::kernels::cuda {

/// One thread at a time.
class Blas {
 public:
  /// "cuda_unavailable" where cuBLAS does not start on the current device.
  static Result<std::unique_ptr<Blas>> open();
  ~Blas() { cublasDestroy(handle_); }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  /// int8 rows of `depth` codes, `pitch` bytes apart: products[j * product_pitch + i] = <a_i, b_j>
  /// for i < m, j < n. Exact. All sizes and addresses are multiples of 4. With several slices, the
  /// same of codes [s * depth, (s + 1) * depth) at products + s * product_stride, all at once.
  struct CodeProducts {
    const std::int8_t *a, *b;
    int m, n, depth, pitch;
    std::int32_t* products;
    int product_pitch;
    int slices;
    long long product_stride;
  };
  void multiply_codes(const CodeProducts& job, cudaStream_t stream);

 private:
  Blas() = default;
  cublasHandle_t handle_ = nullptr;
};

}  // namespace muster::kernels::cuda
