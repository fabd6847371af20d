// One matrix product as cuBLAS understands it: column-major, C = alpha op(A) op(B) + beta C.
// Checked at the call, computed when its stream comes to it.
#pragma once

#include <cublas_v2.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/gpusim/runtime/hooks.h"

namespace gpusim::blas {

enum class Accumulate : std::uint8_t { kInt32, kFloat, kTf32, kDouble };
enum class Part : std::uint8_t { kAll, kLower, kUpper };

struct Matrix {
  const void* data = nullptr;
  cudaDataType type = CUDA_R_32F;
  int ld = 0;
  cublasOperation_t op = CUBLAS_OP_N;
};

struct Gemm {
  std::string_view who;
  int m = 0, n = 0, k = 0;
  Matrix a, b, c;               // op(a): m x k, op(b): k x n
  const void* alpha = nullptr;  // of the accumulator's type; float for kTf32
  const void* beta = nullptr;
  bool scalars_on_device = false;
  Accumulate accumulate = Accumulate::kFloat;
  Part part = Part::kAll;  // of c, the rest of which is not touched
};

// Bytes of one element; 0 for types that are not emulated.
std::size_t element_bytes(cudaDataType type);

// Why cuBLAS would refuse the arguments whatever the memory holds; nothing if it would not.
std::optional<std::string> argument_fault(const Gemm& gemm);
// Why the operands are not memory the device can use.
std::optional<std::string> memory_fault(const Gemm& gemm, int device);

// Does it: under the lock, when the stream has come to it. Sums of floats run in an order drawn
// from the seed, as cuBLAS promises none; `order` 0 is ascending.
void compute(const Gemm& gemm, double alpha, double beta, std::uint64_t order);
// The value of alpha or beta.
double scalar(const void* p, Accumulate type);

}  // namespace gpusim::blas
