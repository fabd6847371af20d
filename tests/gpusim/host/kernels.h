// Kernels for the cases; each queues one launch.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace gpusim::host {

// target[i] += w * source[i], i < n; n a multiple of 256.
void add_scaled(float* target, const float* source, int n, float w, cudaStream_t stream);
// target[i] = source[i * stride], i < n; n a multiple of 256.
void gather(float* target, const float* source, int n, int stride, cudaStream_t stream);
// Reverses 256 floats through `bytes` of dynamic shared memory.
void reverse_shared(float* data, std::size_t bytes, cudaStream_t stream);
cudaError_t allow_shared(std::size_t bytes);
// Blocks of it that fit one multiprocessor.
cudaError_t occupancy(int* blocks, std::size_t bytes);
// target[0] = a device variable's value, set by set_variable().
void read_variable(int* target, cudaStream_t stream);
cudaError_t set_variable(int value);
cudaError_t get_variable(int* value);
// target[-1] = 0
void write_before(float* target, cudaStream_t stream);

}  // namespace gpusim::host
