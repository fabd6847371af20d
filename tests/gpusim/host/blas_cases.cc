// cuBLAS: right products of every kind, and arguments that a GPU punishes.
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <vector>

#include "tests/gpusim/host/case.h"

namespace gpusim::host {
namespace {

constexpr int kRows = 8, kInner = 64;  // products are kRows x kRows

cublasHandle_t make_handle(cudaStream_t* stream) {
  cublasHandle_t handle = nullptr;
  MUST(cublasCreate(&handle));
  MUST(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
  MUST(cublasSetStream(handle, *stream));
  return handle;
}

template <class T>
T* upload(const std::vector<T>& values) {
  T* p = nullptr;
  MUST(cudaMalloc(&p, values.size() * sizeof(T)));
  MUST(cudaMemcpy(p, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  MUST(cudaDeviceSynchronize());
  return p;
}

// Small integers: every sum is exact in every type and order. Column i of A is row i of a cohort.
int value_at(int i) { return i * 7 % 13 - 6; }

template <class T>
std::vector<T> values() {
  std::vector<T> all;
  for (int i = 0; i < kRows * kInner; ++i)
    all.push_back(static_cast<T>(static_cast<float>(value_at(i))));
  return all;
}

int gram_at(int i, int j) {
  int sum = 0;
  for (int p = 0; p < kInner; ++p) sum += value_at(i * kInner + p) * value_at(j * kInner + p);
  return sum;
}

// Downloads C and compares with A^T A: `lower` only that triangle, the rest must still be -1.
template <class T>
int compare(const T* c, cudaStream_t stream, bool lower) {
  std::vector<T> result(kRows * kRows);
  MUST(
      cudaMemcpyAsync(result.data(), c, result.size() * sizeof(T), cudaMemcpyDeviceToHost, stream));
  for (int j = 0; j < kRows; ++j)
    for (int i = 0; i < kRows; ++i) {
      const int want = lower && i < j ? -1 : gram_at(i, j);
      if (result[static_cast<std::size_t>(j * kRows + i)] != static_cast<T>(want))
        return kWrongBytes;
    }
  return kRight;
}

template <class T>
std::vector<T> untouched() {
  return std::vector<T>(kRows * kRows, static_cast<T>(-1));
}

int products() {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  const float one = 1, zero = 0;
  const double one_d = 1, zero_d = 0;
  int wrong = 0;

  const float* a = upload(values<float>());
  float* c = upload(untouched<float>());
  MUST(cublasSsyrk(handle, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T, kRows, kInner, &one, a, kInner,
                   &zero, c, kRows));
  wrong += compare(c, stream, true);
  MUST(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, kRows, kRows, kInner, &one, a, kInner, a,
                   kInner, &zero, c, kRows));
  wrong += compare(c, stream, false);

  const double* a_d = upload(values<double>());
  double* c_d = upload(untouched<double>());
  MUST(cublasDsyrk(handle, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T, kRows, kInner, &one_d, a_d, kInner,
                   &zero_d, c_d, kRows));
  wrong += compare(c_d, stream, true);
  MUST(cublasDgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, kRows, kRows, kInner, &one_d, a_d, kInner, a_d,
                   kInner, &zero_d, c_d, kRows));
  wrong += compare(c_d, stream, false);

  const std::int32_t one_i = 1, zero_i = 0;
  const std::int8_t* a_i = upload(values<std::int8_t>());
  std::int32_t* c_i = upload(untouched<std::int32_t>());
  MUST(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, kRows, kRows, kInner, &one_i, a_i, CUDA_R_8I,
                    kInner, a_i, CUDA_R_8I, kInner, &zero_i, c_i, CUDA_R_32I, kRows,
                    CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT));
  wrong += compare(c_i, stream, false);

  const __nv_bfloat16* a_b = upload(values<__nv_bfloat16>());
  for (const cublasComputeType_t compute : {CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32}) {
    const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    float* c_b = upload(untouched<float>());
    const void* operand = tf32 ? static_cast<const void*>(a) : a_b;
    const cudaDataType type = tf32 ? CUDA_R_32F : CUDA_R_16BF;
    MUST(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, kRows, kRows, kInner, &one, operand, type,
                      kInner, operand, type, kInner, &zero, c_b, CUDA_R_32F, kRows, compute,
                      CUBLAS_GEMM_DEFAULT));
    wrong += compare(c_b, stream, false);
  }

  // beta: added twice is twice. The scalars may live on the device.
  const float* one_device = upload(std::vector<float>{1});
  MUST(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  const float half = 0.5F;
  float* doubled = upload(untouched<float>());
  const float* half_device = upload(std::vector<float>{half});
  const float* zero_device = upload(std::vector<float>{0});
  for (const float* beta : {zero_device, one_device})
    MUST(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, kRows, kRows, kInner, half_device, a, kInner,
                     a, kInner, beta, doubled, kRows));
  wrong += compare(doubled, stream, false);
  MUST(cublasDestroy(handle));
  return wrong == 0 ? kRight : kWrongBytes;
}

// m, n and k all different, rows padded, beta 1, both operands as they are and turned.
int orientations() {
  constexpr int kM = 3, kN = 5, kK = 7, kLd = 8;
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  std::vector<float> a, b;
  for (int i = 0; i < kLd * kLd; ++i) {
    a.push_back(static_cast<float>(value_at(i)));
    b.push_back(static_cast<float>(value_at(i + 5)));
  }
  const float *a_device = upload(a), *b_device = upload(b);
  const auto at = [](const std::vector<float>& matrix, cublasOperation_t op, int row, int column) {
    return matrix[static_cast<std::size_t>(op == CUBLAS_OP_N ? column * kLd + row
                                                             : row * kLd + column)];
  };
  for (const cublasOperation_t op_a : {CUBLAS_OP_N, CUBLAS_OP_T})
    for (const cublasOperation_t op_b : {CUBLAS_OP_N, CUBLAS_OP_T}) {
      std::vector<float> c(kLd * kN, 1000), want = c;
      for (int j = 0; j < kN; ++j)
        for (int i = 0; i < kM; ++i)
          for (int p = 0; p < kK; ++p)
            want[static_cast<std::size_t>(j * kLd + i)] +=
                2 * at(a, op_a, i, p) * at(b, op_b, p, j);
      float* c_device = upload(c);
      const float two = 2, one = 1;
      MUST(cublasSgemm(handle, op_a, op_b, kM, kN, kK, &two, a_device, kLd, b_device, kLd, &one,
                       c_device, kLd));
      MUST(cudaMemcpyAsync(c.data(), c_device, c.size() * sizeof(float), cudaMemcpyDeviceToHost,
                           stream));
      if (c != want) return kWrongBytes;
    }
  return kRight;
}

struct Int8Call {
  int inner = kInner, ld = kInner;
  std::size_t offset = 0;
  std::size_t result_bytes = kRows * kRows * sizeof(std::int32_t);
  std::int8_t value = 1;
};

int int8_call(const Int8Call& call) {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  const std::int8_t* a = upload(std::vector<std::int8_t>(kRows * kInner + 64, call.value));
  std::int32_t* c = nullptr;
  MUST(cudaMalloc(&c, call.result_bytes));
  const std::int32_t one = 1, zero = 0;
  fmt::print("got {}\n",
             cublasGetStatusName(cublasGemmEx(
                 handle, CUBLAS_OP_T, CUBLAS_OP_N, kRows, kRows, call.inner, &one, a + call.offset,
                 CUDA_R_8I, call.ld, a + call.offset, CUDA_R_8I, call.ld, &zero, c, CUDA_R_32I,
                 kRows, CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT)));
  MUST(cudaStreamSynchronize(stream));
  return kRight;
}

int int8_odd_size() { return int8_call({.inner = 63}); }
int int8_odd_stride() { return int8_call({.inner = 60, .ld = 61}); }
int int8_odd_address() { return int8_call({.offset = 1}); }
int int8_small_result() { return int8_call({.result_bytes = 252}); }
int int8_small_stride() { return int8_call({.ld = 60}); }

int int8_overflow() {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  constexpr int kLong = 1 << 18;  // 2^18 * 127^2 > 2^31
  const std::int8_t* a = upload(std::vector<std::int8_t>(std::size_t{4} * kLong, 127));
  std::int32_t* c = nullptr;
  MUST(cudaMalloc(&c, 64));
  const std::int32_t one = 1, zero = 0;
  MUST(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, 4, 4, kLong, &one, a, CUDA_R_8I, kLong, a,
                    CUDA_R_8I, kLong, &zero, c, CUDA_R_32I, 4, CUBLAS_COMPUTE_32I,
                    CUBLAS_GEMM_DEFAULT));
  MUST(cudaStreamSynchronize(stream));
  return kRight;
}

// What one Sgemm of a x a says.
int sgemm(cublasHandle_t handle, const float* a, const float* alpha) {
  float* c = nullptr;
  MUST(cudaMalloc(&c, kRows * kRows * sizeof(float)));
  const float zero = 0;
  fmt::print("got {}\n",
             cublasGetStatusName(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, kRows, kRows, kInner,
                                             alpha, a, kInner, a, kInner, &zero, c, kRows)));
  MUST(cudaDeviceSynchronize());
  return kRight;
}

int host_operand() {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  const std::vector<float> host = values<float>();
  const float one = 1;
  return sgemm(handle, host.data(), &one);
}

int unwritten_operand() {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  float* a = nullptr;
  MUST(cudaMalloc(&a, kRows * kInner * sizeof(float)));
  const float one = 1;
  return sgemm(handle, a, &one);
}

int scalar_on_wrong_side() {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  return sgemm(handle, upload(values<float>()), upload(std::vector<float>{1}));
}

int handle_of_other_device() {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  MUST(cudaSetDevice(1));
  const float one = 1;
  return sgemm(handle, upload(values<float>()), &one);
}

int stream_of_other_device() {
  cublasHandle_t handle = nullptr;
  MUST(cublasCreate(&handle));
  MUST(cudaSetDevice(1));
  cudaStream_t stream = nullptr;
  MUST(cudaStreamCreate(&stream));
  MUST(cudaSetDevice(0));
  fmt::print("got {}\n", cublasGetStatusName(cublasSetStream(handle, stream)));
  return kRight;
}

// Sums of floats run in another order on another seed, as on another GPU: the sum of 1, 2^24, -2^24
// and many zeros is 1, 0 or 2.
int float_order() {
  cudaStream_t stream = nullptr;
  const cublasHandle_t handle = make_handle(&stream);
  std::vector<float> a(kInner, 0.0F);
  a[0] = 1, a[20] = 16777216, a[40] = -16777216;
  const float* left = upload(a);
  const float* right = upload(std::vector<float>(kInner, 1.0F));
  float *c = nullptr, result = 0;
  MUST(cudaMalloc(&c, sizeof(float)));
  const float one = 1, zero = 0;
  MUST(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, kInner, &one, left, kInner, right,
                   kInner, &zero, c, 1));
  MUST(cudaMemcpyAsync(&result, c, sizeof(float), cudaMemcpyDeviceToHost, stream));
  fmt::print("sum {}\n", result);
  return kRight;
}

constexpr std::array kCases = {
    Case{"products", products},
    Case{"products_of_every_orientation", orientations},
    Case{"int8_odd_size", int8_odd_size},
    Case{"int8_odd_stride", int8_odd_stride},
    Case{"int8_odd_address", int8_odd_address},
    Case{"int8_small_result", int8_small_result},
    Case{"int8_small_stride", int8_small_stride},
    Case{"int8_overflow", int8_overflow},
    Case{"blas_host_operand", host_operand},
    Case{"blas_unwritten_operand", unwritten_operand},
    Case{"blas_scalar_on_wrong_side", scalar_on_wrong_side},
    Case{"blas_handle_of_other_device", handle_of_other_device},
    Case{"blas_stream_of_other_device", stream_of_other_device},
    Case{"blas_float_order", float_order},
};

}  // namespace

std::span<const Case> blas_cases() { return kCases; }

}  // namespace gpusim::host
