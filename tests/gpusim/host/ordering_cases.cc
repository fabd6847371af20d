// The order of work on the host side: the pipeline every ingest path has, right and with one wait
// taken out, and the rules of the legacy stream.
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <vector>

#include "tests/gpusim/host/case.h"
#include "tests/gpusim/host/kernels.h"

namespace gpusim::host {
namespace {

constexpr int kValues = 1024;
constexpr std::size_t kBytes = kValues * sizeof(float);

struct Lane {
  float* pinned = nullptr;
  float* device = nullptr;
  cudaEvent_t copied = nullptr, used = nullptr;
};

Lane make_lane() {
  Lane lane;
  MUST(cudaMallocHost(&lane.pinned, kBytes));
  MUST(cudaMalloc(&lane.device, kBytes));
  MUST(cudaMemset(lane.device, 0, kBytes));
  MUST(cudaEventCreateWithFlags(&lane.copied, cudaEventDisableTiming));
  MUST(cudaEventCreateWithFlags(&lane.used, cudaEventDisableTiming));
  return lane;
}

cudaStream_t make_stream(unsigned flags) {
  cudaStream_t stream = nullptr;
  MUST(cudaStreamCreateWithFlags(&stream, flags));
  return stream;
}

enum class Fault { kNone, kNoWaitForCopy, kNoWaitForUse, kRefillEarly, kReadEarly };

// Chunks go up through two pinned buffers on one stream and are added up on another.
template <Fault fault>
int pipeline() {
  const cudaStream_t up = make_stream(cudaStreamNonBlocking);
  const cudaStream_t compute = make_stream(cudaStreamNonBlocking);
  std::array<Lane, 2> lanes = {make_lane(), make_lane()};
  float *sum = nullptr, *result = nullptr;
  MUST(cudaMalloc(&sum, kBytes));
  MUST(cudaMemset(sum, 0, kBytes));
  MUST(cudaMallocHost(&result, kBytes));
  std::memset(result, 0, kBytes);
  MUST(cudaDeviceSynchronize());

  constexpr int kChunks = 8;
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const Lane& lane = lanes[static_cast<std::size_t>(chunk % 2)];
    if (chunk >= 2) {
      if (fault != Fault::kRefillEarly) MUST(cudaEventSynchronize(lane.copied));
      if (fault != Fault::kNoWaitForUse) MUST(cudaStreamWaitEvent(up, lane.used, 0));
    }
    for (int i = 0; i < kValues; ++i) lane.pinned[i] = static_cast<float>(chunk + i % 3);
    MUST(cudaMemcpyAsync(lane.device, lane.pinned, kBytes, cudaMemcpyHostToDevice, up));
    MUST(cudaEventRecord(lane.copied, up));
    if (fault != Fault::kNoWaitForCopy) MUST(cudaStreamWaitEvent(compute, lane.copied, 0));
    add_scaled(sum, lane.device, kValues, 1, compute);
    MUST(cudaGetLastError());
    MUST(cudaEventRecord(lane.used, compute));
  }
  MUST(cudaMemcpyAsync(result, sum, kBytes, cudaMemcpyDeviceToHost, compute));
  if (fault != Fault::kReadEarly) MUST(cudaStreamSynchronize(compute));

  int wrong = 0;
  for (int i = 0; i < kValues; ++i)
    if (result[i] != static_cast<float>(kChunks * (kChunks - 1) / 2 + kChunks * (i % 3))) ++wrong;
  MUST(cudaDeviceSynchronize());
  return wrong == 0 ? kRight : kWrongBytes;
}

// target = 1, then += 2 in another stream, then += 4 in the first; order by the legacy stream
// alone.
int legacy(unsigned flags) {
  const cudaStream_t stream = make_stream(flags);
  float *target = nullptr, *one = nullptr;
  MUST(cudaMalloc(&target, kBytes));
  MUST(cudaMalloc(&one, kBytes));
  MUST(cudaDeviceSynchronize());
  const std::vector<float> ones(kValues, 1.0F);
  MUST(cudaMemcpyAsync(one, ones.data(), kBytes, cudaMemcpyHostToDevice, nullptr));
  MUST(cudaMemsetAsync(target, 0, kBytes, nullptr));
  add_scaled(target, one, kValues, 2, stream);
  MUST(cudaGetLastError());
  gather(one, target, kValues, 1, nullptr);  // one = 2
  MUST(cudaGetLastError());
  add_scaled(target, one, kValues, 2, stream);
  MUST(cudaGetLastError());
  std::vector<float> result(kValues);
  MUST(cudaMemcpy(result.data(), target, kBytes, cudaMemcpyDeviceToHost));
  for (const float value : result)
    if (value != 6) return kWrongBytes;
  return kRight;
}

int legacy_blocking() { return legacy(cudaStreamDefault); }
int legacy_non_blocking() { return legacy(cudaStreamNonBlocking); }

// A pageable source may be changed as soon as the call returns.
int pageable_staged() {
  const cudaStream_t stream = make_stream(cudaStreamNonBlocking);
  float* device = nullptr;
  MUST(cudaMalloc(&device, kBytes));
  std::vector<float> values(kValues, 3.0F), result(kValues);
  MUST(cudaMemcpyAsync(device, values.data(), kBytes, cudaMemcpyHostToDevice, stream));
  values.assign(kValues, -1.0F);
  MUST(cudaMemcpyAsync(result.data(), device, kBytes, cudaMemcpyDeviceToHost, stream));
  return result == std::vector<float>(kValues, 3.0F) ? kRight : kWrongBytes;
}

// After a synchronous upload from pageable memory, a non-blocking stream is not ordered behind it.
int synchronous_upload_then_other_stream() {
  const cudaStream_t stream = make_stream(cudaStreamNonBlocking);
  float *device = nullptr, *copy = nullptr;
  MUST(cudaMalloc(&device, kBytes));
  MUST(cudaMalloc(&copy, kBytes));
  const std::vector<float> values(kValues, 3.0F);
  std::vector<float> result(kValues);
  MUST(cudaMemcpy(device, values.data(), kBytes, cudaMemcpyHostToDevice));
  MUST(cudaMemcpyAsync(result.data(), device, kBytes, cudaMemcpyDeviceToHost, stream));
  return result == values ? kRight : kWrongBytes;
}

// A wait is for the record before it, whatever is recorded later.
int wait_is_for_the_record_before_it() {
  const cudaStream_t a = make_stream(cudaStreamNonBlocking), b = make_stream(cudaStreamNonBlocking);
  cudaEvent_t event = nullptr;
  MUST(cudaEventCreate(&event));
  float *x = nullptr, *y = nullptr;
  MUST(cudaMalloc(&x, kBytes));
  MUST(cudaMalloc(&y, kBytes));
  MUST(cudaMemsetAsync(x, 0, kBytes, a));
  MUST(cudaEventRecord(event, a));
  MUST(cudaStreamWaitEvent(b, event, 0));
  MUST(cudaEventRecord(event, b));  // must not make b wait for itself
  MUST(cudaEventDestroy(event));    // nor lose the wait
  gather(y, x, kValues, 1, b);
  MUST(cudaGetLastError());
  MUST(cudaStreamDestroy(a));  // its work still runs
  std::vector<float> result(kValues, 1.0F);
  MUST(cudaMemcpyAsync(result.data(), y, kBytes, cudaMemcpyDeviceToHost, b));
  return result == std::vector<float>(kValues, 0.0F) ? kRight : kWrongBytes;
}

// Host functions run in their place, outside any lock, and polling gets there.
int host_functions() {
  const cudaStream_t stream = make_stream(cudaStreamNonBlocking);
  static int* pinned = nullptr;
  static int seen = 0;
  int* device = nullptr;
  MUST(cudaMallocHost(&pinned, sizeof(int)));
  MUST(cudaMalloc(&device, sizeof(int)));
  MUST(set_variable(7));
  MUST(cudaDeviceSynchronize());
  read_variable(device, stream);
  MUST(cudaGetLastError());
  MUST(cudaMemcpyAsync(pinned, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
  MUST(cudaLaunchHostFunc(
      stream, [](void*) { seen = *pinned; }, nullptr));
  while (cudaStreamQuery(stream) == cudaErrorNotReady) {
  }
  MUST(cudaGetLastError());
  return seen == 7 ? kRight : kWrongBytes;
}

constexpr std::array kCases = {
    Case{"pipeline", pipeline<Fault::kNone>},
    Case{"pipeline_no_wait_for_copy", pipeline<Fault::kNoWaitForCopy>},
    Case{"pipeline_no_wait_for_use", pipeline<Fault::kNoWaitForUse>},
    Case{"pipeline_refill_early", pipeline<Fault::kRefillEarly>},
    Case{"pipeline_read_early", pipeline<Fault::kReadEarly>},
    Case{"legacy_blocking", legacy_blocking},
    Case{"legacy_non_blocking", legacy_non_blocking},
    Case{"pageable_staged", pageable_staged},
    Case{"synchronous_upload_then_other_stream", synchronous_upload_then_other_stream},
    Case{"wait_is_for_the_record_before_it", wait_is_for_the_record_before_it},
    Case{"host_functions", host_functions},
};

}  // namespace

std::span<const Case> ordering_cases() { return kCases; }

}  // namespace gpusim::host
