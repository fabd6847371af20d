#include "kernels/cuda/blas.h"

#include "kernels/cuda/device.h"

namespace muster::kernels::cuda {
namespace {

void must(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    device_failed("cublas", std::string(call).append(": ").append(cublasGetStatusString(status)));
}

}  // namespace

Result<std::unique_ptr<Blas>> Blas::open() {
  std::unique_ptr<Blas> blas(new Blas);
  const cublasStatus_t status = cublasCreate(&blas->handle_);
  if (status != CUBLAS_STATUS_SUCCESS)
    return Status(Code::kUnavailable, "cuda_unavailable",
                  std::string("cuBLAS does not start: ").append(cublasGetStatusString(status)));
  return blas;
}

void Blas::multiply_codes(const CodeProducts& job, cudaStream_t stream) {
  must(cublasSetStream(handle_, stream), "cublasSetStream");
  const std::int32_t one = 1, none = 0;
  // cuBLAS counts down columns: rows of codes are columns of `depth`, and the product is turned.
  must(cublasGemmStridedBatchedEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, job.m, job.n, job.depth, &one,
                                  job.a, CUDA_R_8I, job.pitch, job.depth, job.b, CUDA_R_8I,
                                  job.pitch, job.depth, &none, job.products, CUDA_R_32I,
                                  job.product_pitch, job.product_stride, job.slices,
                                  CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT),
       "cublasGemmStridedBatchedEx");
}

}  // namespace muster::kernels::cuda
