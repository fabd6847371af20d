// What kernels may use, one thing a kernel. Kernels run with 64 threads (grid_ ones with 4 blocks)
// and get 256 words each of input and output; features_test.cc knows what must come out.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>

#define KERNEL extern "C" __global__ void
using Word = unsigned;

struct Parameters {
  float scale;
  int count;
  double offset;
  signed char small;
};

__constant__ float table[16];
__device__ unsigned ticket = 7;
__device__ const short steps[4] = {-1, 2, -3, 4};

KERNEL arithmetic(const Word* in, Word* out) {
  const int v = static_cast<int>(in[threadIdx.x]);
  Word r = __popc(v) + __clz(v) * 3 + __brev(v) % 7 + v / 7 + v % 11 + min(v, 4) + (v >> 3);
  r += static_cast<Word>(static_cast<long long>(v) * v >> 5) + in[threadIdx.x] / 13u +
       __mulhi(v, 77777777);
  r += __byte_perm(v, v * 3, 0x2541) + __funnelshift_l(v, v * 5, 3) + __ffs(v) + abs(v) +
       (v & (v >> 1 ^ 0x5a));
  out[threadIdx.x] = r;
}

KERNEL wide_arithmetic(const Word* in, Word* out) {
  const long long v = static_cast<long long>(in[threadIdx.x]) * 0x1234567 - 99;
  const unsigned long long u = static_cast<unsigned long long>(v);
  unsigned long long r =
      u / 1000003 + u % 77 + __umul64hi(u, u) + __popcll(u) + __clzll(v) + (v >> 7) + v / -9;
  r ^= (u << (threadIdx.x & 63)) + __brevll(u) + (v < 0 ? 5 : 6) + max(v, 3LL);
  out[threadIdx.x] = static_cast<Word>(r ^ r >> 32);
}

KERNEL dot_products(const Word* in, Word* out) {
  const int v = static_cast<int>(in[threadIdx.x]);
  out[threadIdx.x] = __dp4a(v, v, 1) + __dp4a(in[threadIdx.x], 0x01020304u, 2u);
}

KERNEL floats(const Word* in, Word* out) {
  const float v = static_cast<float>(in[threadIdx.x] % 1000) / 7.0f - 20.0f;
  float r = v * 3.0f + sqrtf(fabsf(v)) + fmaf(v, v, -1.0f) + fminf(v, 2.0f) + rintf(v) + floorf(v) +
            truncf(v);
  r += __fadd_rz(v, 0.1f) + __fmul_ru(v, 0.3f) + copysignf(2.0f, v) + (v > 1.0f ? 1.0f : -1.0f);
  out[threadIdx.x] = __float_as_uint(r);
}

KERNEL doubles(const Word* in, Word* out) {
  const double v = static_cast<double>(in[threadIdx.x]) / 3.0;
  const double r = sqrt(v) / 7.0 + fma(v, v, 0.25) + rint(v) + __ddiv_rd(v, 9.0);
  out[threadIdx.x] = static_cast<Word>(__double_as_longlong(r) >> 9);
}

KERNEL conversions(const Word* in, Word* out) {
  const int v = static_cast<int>(in[threadIdx.x]);
  const float f = static_cast<float>(v) * 0.37f;
  Word r =
      __float2int_rn(f) + __float2uint_rz(fabsf(f)) + __float2int_ru(f) * 3 + __float2int_rd(f) * 5;
  r += static_cast<signed char>(v) + static_cast<short>(v * 3) + static_cast<unsigned char>(v);
  r += static_cast<Word>(__float2ll_rn(f * 1e6f)) + static_cast<Word>(__double2int_rn(f * 0.5));
  r ^= __float_as_uint(__ll2float_rn(v * 0x100000001LL)) + __float_as_uint(__uint2float_rd(v));
  r ^= __float_as_uint(static_cast<float>(static_cast<double>(v) / 3.0));
  out[threadIdx.x] = r + __float2int_rn(__uint_as_float(0x7fc00000)) + __float2int_rz(1e20f);
}

KERNEL halves(const Word* in, Word* out) {
  const __half2 v =
      __floats2half2_rn(static_cast<float>(in[threadIdx.x] % 512) * 0.25f, -0.5f * threadIdx.x);
  const __half2 r = __hfma2(v, __float2half2_rn(2.0f), __float2half2_rn(1.0f));
  out[2 * threadIdx.x] = __float_as_uint(__low2float(r));
  out[2 * threadIdx.x + 1] = __float_as_uint(__high2float(r));
}

KERNEL brain_floats(const Word* in, Word* out) {
  const __nv_bfloat16 v = __float2bfloat16_rn(static_cast<float>(in[threadIdx.x]) * 1.1f);
  out[threadIdx.x] = __float_as_uint(__bfloat162float(v));
}

KERNEL vectors(const uint4* in, uint4* out) {
  uint4 v = in[threadIdx.x];
  v.x += 1;
  v.w *= 2;
  out[threadIdx.x] = v;
}

KERNEL bytes(const signed char* in, short* out) {
  const char4 v = reinterpret_cast<const char4*>(in)[threadIdx.x];
  out[2 * threadIdx.x] = static_cast<short>(v.x * v.y);
  out[2 * threadIdx.x + 1] = static_cast<short>(in[4 * threadIdx.x + 2] - in[4 * threadIdx.x + 3]);
}

KERNEL parameters(Parameters p, float* out) {
  out[threadIdx.x] = p.scale * p.count + static_cast<float>(p.offset) + table[threadIdx.x & 15] +
                     steps[threadIdx.x & 3] + p.small;
  if (threadIdx.x == 0) atomicAdd(&ticket, 3u);
}

KERNEL local_array(const Word* in, Word* out, int k) {
  Word a[32];
  for (int i = 0; i < 32; ++i) a[i] = in[i] * (threadIdx.x + 1);
  Word sum = 0;
  for (int i = 0; i < k; ++i) sum += a[(i * 7 + k) & 31];
  out[threadIdx.x] = sum;
}

KERNEL many_ways(const Word* in, Word* out) {
  Word r;
  switch (in[threadIdx.x] & 15) {
    case 0:
      r = 3;
      break;
    case 1:
      r = in[5];
      break;
    case 2:
      r = 77 * in[3];
      break;
    case 3:
      r = threadIdx.x;
      break;
    case 4:
      r = 11 * in[2];
      break;
    case 5:
      r = 99;
      break;
    case 6:
      r = in[1] ^ 5;
      break;
    case 9:
      r = in[9] + 4;
      break;
    default:
      r = 0;
  }
  out[threadIdx.x] = r;
}

__noinline__ __device__ Word step(Word a, int k) {
  for (int i = 0; i < k; ++i) a = a * 3 + (a & 1 ? 1 : 7);
  return a;
}

KERNEL calls(const Word* in, Word* out) {
  out[threadIdx.x] = step(in[threadIdx.x], threadIdx.x & 7) + step(threadIdx.x, 2);
}

KERNEL shuffles(const Word* in, Word* out) {
  Word v = in[threadIdx.x];
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
  const Word up = __shfl_up_sync(0xffffffffu, in[threadIdx.x], 3);
  const Word within = __shfl_down_sync(0xffffffffu, in[threadIdx.x], 2, 8);
  out[threadIdx.x] =
      v + 3 * up + 5 * within + 7 * __shfl_sync(0xffffffffu, in[threadIdx.x], threadIdx.x * 5);
}

KERNEL votes(const Word* in, Word* out) {
  const bool odd = in[threadIdx.x] & 1;
  Word r = __ballot_sync(0xffffffffu, odd) + __match_any_sync(0xffffffffu, in[threadIdx.x] & 3);
  r += __any_sync(0xffffffffu, odd) + 2 * __all_sync(0xffffffffu, odd) + __popc(__activemask());
#if __CUDA_ARCH__ >= 800
  r += __reduce_add_sync(0xffffffffu, in[threadIdx.x]);
#else
  for (int lane = 0; lane < 32; ++lane) r += __shfl_sync(0xffffffffu, in[threadIdx.x], lane);
#endif
  out[threadIdx.x] = r;
}

KERNEL block_votes(const Word* in, Word* out) {
  const bool odd = in[threadIdx.x] & 1;
  out[threadIdx.x] =
      __syncthreads_count(odd) * 4 + __syncthreads_or(odd) * 2 + __syncthreads_and(odd);
}

KERNEL warp_tile(const Word* in, Word* out) {
  __shared__ Word s[64];
  const int i = threadIdx.x;
  s[i] = in[i];
  __syncwarp();
  const Word other = s[i ^ 1];
  __syncwarp();
  s[i] = other + s[i];
  const unsigned half = 0xffffu << (i & 16);
  __syncwarp(half);
  out[i] = s[(i & ~15) | ((i + 3) & 15)];
}

KERNEL asynchronous_copy(const float4* in, float4* out) {
  __shared__ float4 s[64];
  if (threadIdx.x < 32) {
    __pipeline_memcpy_async(s + threadIdx.x, in + threadIdx.x, 16);
    __pipeline_commit();
    __pipeline_memcpy_async(s + 32 + threadIdx.x, in + 32 + threadIdx.x, 16);
    __pipeline_commit();
    __pipeline_wait_prior(0);
  }
  __syncthreads();
  out[threadIdx.x] = s[63 - threadIdx.x];
}

KERNEL atomics(const Word* in, Word* out) {
  __shared__ Word s[4];
  __shared__ unsigned long long wide;
  if (threadIdx.x < 4) s[threadIdx.x] = 0;
  if (threadIdx.x == 0) wide = 0;
  __syncthreads();
  const Word v = in[threadIdx.x];
  atomicAdd(&s[0], v);
  atomicMax(&s[1], v);
  atomicXor(&s[2], v);
  atomicInc(&s[3], 9u);
  atomicAdd(&wide, static_cast<unsigned long long>(v) << 20);
  __syncthreads();
  out[threadIdx.x] =
      threadIdx.x < 4 ? s[threadIdx.x] : static_cast<Word>(wide >> (threadIdx.x & 15));
}

KERNEL dynamic_shared(const Word* in, Word* out) {
  extern __shared__ Word dynamic[];
  __shared__ Word fixed[64];
  fixed[threadIdx.x] = in[threadIdx.x];
  dynamic[63 - threadIdx.x] = in[threadIdx.x] + 1;
  __syncthreads();
  out[threadIdx.x] = dynamic[threadIdx.x] + fixed[63 - threadIdx.x];
}

// Each block adds its part; the last one, by ticket, folds them: fence and atomic hand them over.
KERNEL grid_last_block(const Word* in, Word* out, Word* parts, Word* count) {
  __shared__ bool last;
  const int i = threadIdx.x;
  Word v = in[blockIdx.x * 64 + i];
  for (int d = 16; d > 0; d >>= 1) v += __shfl_down_sync(0xffffffffu, v, d);
  if (i % 32 == 0) parts[blockIdx.x * 2 + i / 32] = v;
  __threadfence();
  __syncthreads();
  if (i == 0) last = atomicAdd(count, 1u) == gridDim.x - 1;
  __syncthreads();
  if (last && i == 0) {
    __threadfence();
    Word sum = 0;
    for (Word k = 0; k < 2 * gridDim.x; ++k) sum += parts[k];
    out[0] = sum;
  }
}

KERNEL grid_histogram(const Word* in, Word* out) {
  for (Word i = blockIdx.x * blockDim.x + threadIdx.x; i < 256; i += gridDim.x * blockDim.x) {
    atomicAdd(&out[in[i] % 8], 1u);
  }
}
