#include "tests/gpusim/host/kernels.h"

namespace gpusim::host {
namespace {

__device__ int variable = 5;

__global__ void add_scaled_kernel(float* target, const float* source, float w) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  target[i] += w * source[i];
}

__global__ void gather_kernel(float* target, const float* source, int stride) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  target[i] = source[i * stride];
}

__global__ void reverse_kernel(float* data) {
  extern __shared__ float shared[];
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = data[i];
  __syncthreads();
  data[i] = shared[255 - i];
}

__global__ void variable_kernel(int* target) { *target = variable; }

__global__ void before_kernel(float* target) { target[-1] = 0; }

}  // namespace

void add_scaled(float* target, const float* source, int n, float w, cudaStream_t stream) {
  add_scaled_kernel<<<n / 256, 256, 0, stream>>>(target, source, w);
}

void gather(float* target, const float* source, int n, int stride, cudaStream_t stream) {
  gather_kernel<<<n / 256, 256, 0, stream>>>(target, source, stride);
}

void reverse_shared(float* data, std::size_t bytes, cudaStream_t stream) {
  reverse_kernel<<<1, 256, bytes, stream>>>(data);
}

cudaError_t allow_shared(std::size_t bytes) {
  return cudaFuncSetAttribute(reverse_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

cudaError_t occupancy(int* blocks, std::size_t bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, reverse_kernel, 256, bytes);
}

void read_variable(int* target, cudaStream_t stream) {
  variable_kernel<<<1, 1, 0, stream>>>(target);
}

cudaError_t set_variable(int value) { return cudaMemcpyToSymbol(variable, &value, sizeof(value)); }

cudaError_t get_variable(int* value) {
  return cudaMemcpyFromSymbol(value, variable, sizeof(*value));
}

void write_before(float* target, cudaStream_t stream) {
  before_kernel<<<1, 1, 0, stream>>>(target);
}

}  // namespace gpusim::host
