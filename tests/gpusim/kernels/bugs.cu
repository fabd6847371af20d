// Planted bugs, one a kernel. The comment "expect: <fault>" stands on the line that the report must
// name. Kernels run with 64 threads; those whose name begins with grid_ with 4 blocks. in and out
// have 64 elements, dynamic shared memory 256 bytes.
#include <cuda_pipeline.h>

#define KERNEL extern "C" __global__ void

KERNEL correct(const float* in, float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = s[63 - threadIdx.x];  // expect: nothing
}

KERNEL missing_barrier(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  s[i] = in[i], s[63 - i] = in[i];  // expect: race
  __syncthreads();
  out[i] = s[i];
}

KERNEL read_before_barrier(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  s[i] = in[i];
  out[i] = s[63 - i];  // expect: uninitialised
  __syncthreads();
}

KERNEL missing_second_barrier(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  s[i] = in[i];
  __syncthreads();
  for (int d = 1; d < 64; d <<= 1) {
    const float v = i >= d ? s[i - d] : 0.0f;
    s[i] += v;  // expect: race
    __syncthreads();
  }
  out[i] = s[i];
}

KERNEL barrier_for_some(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  s[i] = in[i];
  if (i < 40) __syncthreads();  // expect: barrier_divergence
  out[i] = s[i];
}

KERNEL barriers_at_two_places(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  s[i] = in[i];
  if (i & 1) {
    __syncthreads();
  } else {
    __syncthreads();  // expect: barrier_divergence
  }
  out[i] = s[63 - i];
}

KERNEL return_before_barrier(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  if (i >= 50) return;
  s[i] = in[i];
  __syncthreads();  // expect: barrier_divergence
  out[i] = s[49 - i];
}

KERNEL past_dynamic_shared(const float* in, float* out) {
  extern __shared__ float dynamic[];
  const int i = threadIdx.x;
  dynamic[i + 1] = in[i];  // expect: out_of_bounds
  __syncthreads();
  out[i] = dynamic[i + 1];
}

KERNEL past_static_shared(const float* in, float* out) {
  __shared__ float s[63];
  __shared__ float next[64];
  const int i = threadIdx.x;
  next[i] = in[i];
  s[i] = in[i];  // expect: out_of_bounds
  __syncthreads();
  out[i] = s[i] + next[63 - i];
}

template <int N>
__device__ void write_past(float (&s)[N], float x);

KERNEL past_shared_of_a_template(const float* in, float* out) {
  __shared__ float s[60];
  const int i = threadIdx.x;
  write_past(s, in[i]);
  __syncthreads();
  out[i] = s[i % 60];
}

template <int N>
__device__ void write_past(float (&s)[N], float x) {
  s[threadIdx.x] = x;  // expect: out_of_bounds
}

KERNEL sum_without_atomic(const float* in, float* out) {
  __shared__ float sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  sum += in[threadIdx.x];  // expect: race
  __syncthreads();
  out[threadIdx.x] = sum;
}

KERNEL past_global(const float* in, float* out) {
  out[threadIdx.x + 1] = in[threadIdx.x];  // expect: out_of_bounds
}

KERNEL unwritten_shared(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  if (i < 60) s[i] = in[i];
  __syncthreads();
  out[i] = s[i] > 0.0f ? 1.0f : 2.0f;  // expect: uninitialised
}

KERNEL unwritten_global(const float* in, float* out) {
  out[threadIdx.x] += in[threadIdx.x];  // expect: uninitialised
}

KERNEL relies_on_lock_step(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  s[i] = in[i];
  __syncthreads();
  if (i < 32) {
    for (int d = 32; d > 0; d >>= 1) s[i] += s[i + d];  // expect: race
  }
  if (i == 0) out[0] = s[0];
}

KERNEL shuffle_as_fence(const float* in, float* out) {
  __shared__ float s[64];
  const int i = threadIdx.x;
  s[i ^ 1] = in[i];
  const float v = __shfl_sync(0xffffffffu, in[i], 0);
  s[i] = v;  // expect: race
  __syncthreads();
  out[i] = s[i];
}

KERNEL grid_blocks_share_a_sum(const float* in, float* out) {
  if (threadIdx.x == 0) out[0] = in[blockIdx.x];  // expect: race
}

KERNEL grid_ticket_without_fence(const float* in, float* out) {
  __shared__ bool last;
  const int i = threadIdx.x;
  if (i == 0) {
    out[1 + blockIdx.x] = in[blockIdx.x];
    last = atomicAdd(reinterpret_cast<int*>(const_cast<float*>(in)) + 63, 1) % 4 == 3;
    if (last) out[0] = out[1] + out[2] + out[3] + out[4];  // expect: race
  }
}

KERNEL plain_beside_atomic(const float* in, float* out) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, in[threadIdx.x] > 0.0f);
  out[threadIdx.x] = count;  // expect: race
}

KERNEL shuffle_of_absent_lanes(const float* in, float* out) {
  const int i = threadIdx.x;
  float v = in[i];
  if (i < 40) v = __shfl_down_sync(0xffffffffu, v, 1);  // expect: deadlock
  out[i] = v;
  if (i >= 40) __syncthreads();
}

KERNEL shuffle_outside_mask(const float* in, float* out) {
  const int i = threadIdx.x;
  float v = in[i];
  if (i < 16) v = __shfl_sync(0xffffu, v, i + 8);  // expect: warp_mask
  out[i] = v;
}

KERNEL misaligned_vector(const float* in, float* out) {
  if (threadIdx.x < 8) {
    const float2 v =
        *reinterpret_cast<const float2*>(in + 2 * threadIdx.x + 1);  // expect: misaligned
    out[threadIdx.x] = v.x + v.y;
  }
}

KERNEL copy_without_wait(const float* in, float* out) {
  __shared__ __align__(16) float s[64];
  const int i = threadIdx.x;
  if (i < 16) __pipeline_memcpy_async(s + 4 * i, in + 4 * i, 16);
  __pipeline_commit();
  __syncthreads();
  out[i] = s[63 - i];  // expect: missing_wait
}

KERNEL stops_itself(const float* in, float* out) {
  if (in[threadIdx.x] > 5.0f) __trap();  // expect: trap
  out[threadIdx.x] = in[threadIdx.x];
}

// Wrong, yet each access is an atomic: no checker of accesses can know.
KERNEL check_then_act(const float* in, float* out) {
  __shared__ unsigned count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (atomicAdd(&count, 0u) < 10) atomicAdd(&count, 1u);
  __syncthreads();
  out[threadIdx.x] = in[threadIdx.x] + count;  // expect: nothing
}
