// Launches that cannot be, calls that fail on demand, and what follows.
#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "tests/gpusim/host/case.h"
#include "tests/gpusim/host/kernels.h"

namespace gpusim::host {
namespace {

float* zeroed(int values) {
  float* p = nullptr;
  const auto bytes = static_cast<std::size_t>(values) * sizeof(float);
  MUST(cudaMalloc(&p, bytes));
  MUST(cudaMemset(p, 0, bytes));
  return p;
}

int out_of_bounds() {
  float* p = zeroed(256);
  write_before(p, nullptr);
  say(cudaDeviceSynchronize());
  say(cudaMalloc(&p, 4));
  say(cudaGetLastError());
  return say(cudaGetLastError());  // sticky
}

int empty_grid() {
  float* p = zeroed(256);
  add_scaled(p, p, 0, 1, nullptr);
  say(cudaGetLastError());
  return say(cudaGetLastError());  // not sticky
}

int shared_without_asking() {
  reverse_shared(zeroed(256), 100 << 10, nullptr);
  return say(cudaGetLastError());
}

int shared_asked_for() {
  MUST(allow_shared(100 << 10));
  reverse_shared(zeroed(256), 100 << 10, nullptr);
  MUST(cudaGetLastError());
  MUST(cudaDeviceSynchronize());
  return say(allow_shared(300 << 10));
}

// The second launch dies when GPUSIM_FAIL_LAUNCH=2; its error comes with the synchronise.
int three_launches() {
  float* p = zeroed(256);
  for (int i = 0; i < 3; ++i) add_scaled(p, p, 256, 1, nullptr);
  return say(cudaDeviceSynchronize());
}

int every_call_checked() {
  float *device = nullptr, *pinned = nullptr;
  cudaStream_t stream = nullptr;
  MUST(cudaStreamCreate(&stream));
  MUST(cudaMalloc(&device, 1024));
  MUST(cudaMallocHost(&pinned, 1024));
  MUST(cudaMemsetAsync(device, 0, 1024, stream));
  MUST(cudaMemcpyAsync(pinned, device, 1024, cudaMemcpyDeviceToHost, stream));
  MUST(cudaStreamSynchronize(stream));
  return kRight;
}

// A watchdog sees that the event of a hung launch never comes.
int watchdog() {
  cudaEvent_t event = nullptr;
  MUST(cudaEventCreate(&event));
  float* p = zeroed(256);
  add_scaled(p, p, 256, 1, nullptr);
  MUST(cudaGetLastError());
  MUST(cudaEventRecord(event, nullptr));
  for (int polls = 0; polls < 1000; ++polls)
    if (cudaEventQuery(event) != cudaErrorNotReady) return kWrongBytes;
  fmt::print("still not ready\n");
  return kRight;
}

int no_such_stream() {
  cudaStream_t stream = nullptr;
  MUST(cudaStreamCreate(&stream));
  MUST(cudaStreamDestroy(stream));
  return say(cudaStreamSynchronize(stream));
}

int call_from_host_function() {
  MUST(cudaLaunchHostFunc(
      nullptr, [](void*) { say(cudaSetDevice(0)); }, nullptr));
  MUST(cudaDeviceSynchronize());
  return kRight;
}

int occupancy_of_shared_memory() {
  MUST(allow_shared(100 << 10));
  for (const std::size_t bytes : {std::size_t{1} << 10, std::size_t{100} << 10}) {
    int blocks = 0;
    MUST(occupancy(&blocks, bytes));
    fmt::print("{} blocks with {} bytes\n", blocks, bytes);
  }
  return kRight;
}

int count_devices() {
  int count = -1;
  const cudaError_t error = cudaGetDeviceCount(&count);
  fmt::print("{} devices\n", count);
  if (error != cudaSuccess) return say(error);
  cudaDeviceProp properties;
  MUST(cudaGetDeviceProperties(&properties, count - 1));
  fmt::print("{}\n", properties.name);
  return kRight;
}

constexpr std::array kCases = {
    Case{"out_of_bounds", out_of_bounds},
    Case{"empty_grid", empty_grid},
    Case{"shared_without_asking", shared_without_asking},
    Case{"shared_asked_for", shared_asked_for},
    Case{"three_launches", three_launches},
    Case{"every_call_checked", every_call_checked},
    Case{"watchdog", watchdog},
    Case{"no_such_stream", no_such_stream},
    Case{"call_from_host_function", call_from_host_function},
    Case{"occupancy_of_shared_memory", occupancy_of_shared_memory},
    Case{"count_devices", count_devices},
};

}  // namespace

std::span<const Case> failure_cases() { return kCases; }

}  // namespace gpusim::host
