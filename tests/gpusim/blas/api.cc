// The entry points of cuBLAS that Muster may call.
#include <cublas_v2.h>
#include <fmt/format.h>

#include <set>

#include "tests/gpusim/blas/gemm.h"
#include "tests/gpusim/runtime/hooks.h"

struct cublasContext {
  int device = 0;
  cudaStream_t stream = nullptr;
  bool scalars_on_device = false;
  bool tf32 = false;
};

namespace gpusim::blas {
namespace {

std::set<cublasHandle_t>& handles() {  // under the runtime's lock
  static auto* const set = new std::set<cublasHandle_t>;
  return *set;
}

cublasStatus_t refuse(cublasStatus_t status, std::string_view who, std::string_view what) {
  hooks::report(who, what);
  return status;
}

// body() for a live handle used on its own device.
template <class Body>
cublasStatus_t with_handle(std::string_view who, cublasHandle_t handle, Body body) {
  hooks::Lock lock = hooks::lock();
  if (hooks::enter(who) != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!handles().contains(handle))
    return refuse(CUBLAS_STATUS_NOT_INITIALIZED, who, "no such handle");
  if (handle->device != hooks::current_device())
    return refuse(CUBLAS_STATUS_NOT_INITIALIZED, who,
                  fmt::format("a handle of device {} is used while device {} is current",
                              handle->device, hooks::current_device()));
  return body(lock);
}

cublasStatus_t submit(cublasHandle_t handle, Gemm gemm) {
  return with_handle(gemm.who, handle, [&](hooks::Lock& lock) {
    gemm.scalars_on_device = handle->scalars_on_device;
    if (handle->tf32 && gemm.accumulate == Accumulate::kFloat && gemm.a.type == CUDA_R_32F)
      gemm.accumulate = Accumulate::kTf32;
    if (const auto fault = argument_fault(gemm))
      return refuse(
          gemm.a.type == CUDA_R_8I ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_INVALID_VALUE,
          gemm.who, *fault);
    if (const auto fault = memory_fault(gemm, handle->device))
      return refuse(CUBLAS_STATUS_EXECUTION_FAILED, gemm.who, *fault);
    const bool device_scalar = !hooks::device_range_fault(gemm.alpha, 1, -1);
    if (device_scalar != gemm.scalars_on_device)
      return refuse(CUBLAS_STATUS_EXECUTION_FAILED, gemm.who,
                    "alpha is not on the side that cublasSetPointerMode says");
    const std::optional<int> device = hooks::stream_device(handle->stream);
    if (!device || *device != handle->device)
      return refuse(CUBLAS_STATUS_EXECUTION_FAILED, gemm.who,
                    "the handle's stream is gone or of another device");
    const double alpha = device_scalar ? 0 : scalar(gemm.alpha, gemm.accumulate);
    const double beta = device_scalar ? 0 : scalar(gemm.beta, gemm.accumulate);
    const std::uint64_t order = hooks::any_order();
    hooks::enqueue(lock, handle->stream, handle->device, std::string(gemm.who), [=] {
      if (const auto fault = memory_fault(gemm, *device))
        return hooks::report(gemm.who, "when it ran: " + *fault);
      if (device_scalar)
        compute(gemm, scalar(gemm.alpha, gemm.accumulate), scalar(gemm.beta, gemm.accumulate),
                order);
      else
        compute(gemm, alpha, beta, order);
    });
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t gemm(std::string_view who, cublasHandle_t handle, cublasOperation_t op_a,
                    cublasOperation_t op_b, int m, int n, int k, const void* alpha, const void* a,
                    int lda, const void* b, int ldb, const void* beta, void* c, int ldc,
                    cudaDataType type, Accumulate accumulate) {
  Gemm g;
  g.who = who;
  g.m = m, g.n = n, g.k = k;
  g.a = {a, type, lda, op_a};
  g.b = {b, type, ldb, op_b};
  g.c = {c, type, ldc, CUBLAS_OP_N};
  g.alpha = alpha, g.beta = beta;
  g.accumulate = accumulate;
  return submit(handle, g);
}

// C = alpha A A^T + beta C, or A^T A: one triangle of the product of A with itself.
cublasStatus_t syrk(std::string_view who, cublasHandle_t handle, cublasFillMode_t fill,
                    cublasOperation_t op, int n, int k, const void* alpha, const void* a, int lda,
                    const void* beta, void* c, int ldc, cudaDataType type, Accumulate accumulate) {
  Gemm g;
  g.who = who;
  g.m = g.n = n, g.k = k;
  g.a = {a, type, lda, op};
  g.b = {a, type, lda, op == CUBLAS_OP_N ? CUBLAS_OP_T : CUBLAS_OP_N};
  g.c = {c, type, ldc, CUBLAS_OP_N};
  g.alpha = alpha, g.beta = beta;
  g.accumulate = accumulate;
  g.part = fill == CUBLAS_FILL_MODE_LOWER ? Part::kLower : Part::kUpper;
  return submit(handle, g);
}

std::optional<Accumulate> accumulator(cublasComputeType_t compute) {
  switch (compute) {
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC:
      return Accumulate::kInt32;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return Accumulate::kFloat;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return Accumulate::kTf32;
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      return Accumulate::kDouble;
    default:
      return std::nullopt;
  }
}

}  // namespace
}  // namespace gpusim::blas

using namespace gpusim;
using namespace gpusim::blas;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  const hooks::Lock lock = hooks::lock();
  if (hooks::enter("cublasCreate") != cudaSuccess || hooks::device_count() == 0)
    return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasContext;
  (*handle)->device = hooks::current_device();
  handles().insert(*handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  const hooks::Lock lock = hooks::lock();
  if (handles().erase(handle) == 0)
    return refuse(CUBLAS_STATUS_NOT_INITIALIZED, "cublasDestroy", "no such handle");
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return with_handle("cublasSetStream", handle, [&](hooks::Lock&) {
    if (hooks::stream_device(stream) != handle->device)
      return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasSetStream",
                    "the stream is of another device than the handle, or none");
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  return with_handle("cublasGetStream", handle, [&](hooks::Lock&) {
    *stream = handle->stream;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  return with_handle("cublasSetPointerMode", handle, [&](hooks::Lock&) {
    handle->scalars_on_device = mode == CUBLAS_POINTER_MODE_DEVICE;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return with_handle("cublasSetMathMode", handle, [&](hooks::Lock&) {
    handle->tf32 = (mode & CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_TF32_TENSOR_OP_MATH;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  return with_handle("cublasSetWorkspace", handle, [&](hooks::Lock&) {
    if (bytes == 0) return CUBLAS_STATUS_SUCCESS;
    if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0)
      return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasSetWorkspace", "not 256-byte aligned");
    const auto fault = hooks::device_range_fault(workspace, bytes, handle->device);
    return fault ? refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasSetWorkspace", *fault)
                 : CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_UNKNOWN";
  }
}

const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                              int m, int n, int k, const float* alpha, const float* a, int lda,
                              const float* b, int ldb, const float* beta, float* c, int ldc) {
  return gemm("cublasSgemm", handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
              CUDA_R_32F, Accumulate::kFloat);
}

cublasStatus_t cublasDgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                              int m, int n, int k, const double* alpha, const double* a, int lda,
                              const double* b, int ldb, const double* beta, double* c, int ldc) {
  return gemm("cublasDgemm", handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
              CUDA_R_64F, Accumulate::kDouble);
}

cublasStatus_t cublasSsyrk_v2(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t op,
                              int n, int k, const float* alpha, const float* a, int lda,
                              const float* beta, float* c, int ldc) {
  return syrk("cublasSsyrk", handle, fill, op, n, k, alpha, a, lda, beta, c, ldc, CUDA_R_32F,
              Accumulate::kFloat);
}

cublasStatus_t cublasDsyrk_v2(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t op,
                              int n, int k, const double* alpha, const double* a, int lda,
                              const double* beta, double* c, int ldc) {
  return syrk("cublasDsyrk", handle, fill, op, n, k, alpha, a, lda, beta, c, ldc, CUDA_R_64F,
              Accumulate::kDouble);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void* alpha, const void* a,
                            cudaDataType type_a, int lda, const void* b, cudaDataType type_b,
                            int ldb, const void* beta, void* c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  const std::optional<Accumulate> accumulate = accumulator(compute);
  if (!accumulate) {
    const hooks::Lock lock = hooks::lock();
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "cublasGemmEx",
                  fmt::format("compute type {} is not emulated", static_cast<int>(compute)));
  }
  Gemm g;
  g.who = "cublasGemmEx";
  g.m = m, g.n = n, g.k = k;
  g.a = {a, type_a, lda, op_a};
  g.b = {b, type_b, ldb, op_b};
  g.c = {c, type_c, ldc, CUBLAS_OP_N};
  g.alpha = alpha, g.beta = beta;
  g.accumulate = *accumulate;
  return submit(handle, g);
}

// One product after the other: the batch is a list, its order nobody's to rely on.
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k,
                                          const void* alpha, const void* a, cudaDataType type_a,
                                          int lda, long long stride_a, const void* b,
                                          cudaDataType type_b, int ldb, long long stride_b,
                                          const void* beta, void* c, cudaDataType type_c, int ldc,
                                          long long stride_c, int count,
                                          cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  if (count < 0 || (count > 1 && stride_c < static_cast<long long>(ldc) * n)) {
    const hooks::Lock lock = hooks::lock();
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "cublasGemmStridedBatchedEx",
                  fmt::format("{} products {} elements apart overlap", count, stride_c));
  }
  const auto at = [](const void* p, long long stride, int i, cudaDataType type) {
    return static_cast<const std::byte*>(p) +
           stride * i * static_cast<long long>(element_bytes(type));
  };
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  for (int i = 0; i < count && status == CUBLAS_STATUS_SUCCESS; ++i)
    status = cublasGemmEx(handle, op_a, op_b, m, n, k, alpha, at(a, stride_a, i, type_a), type_a,
                          lda, at(b, stride_b, i, type_b), type_b, ldb, beta,
                          const_cast<std::byte*>(at(c, stride_c, i, type_c)), type_c, ldc, compute,
                          algorithm);
  return status;
}

}  // extern "C"
