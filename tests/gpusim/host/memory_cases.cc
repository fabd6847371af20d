// Which memory, from which side, how far.
#include <fmt/format.h>

#include <array>
#include <vector>

#include "tests/gpusim/host/case.h"
#include "tests/gpusim/host/kernels.h"
#include "tests/gpusim/runtime/control.h"

namespace gpusim::host {
namespace {

constexpr int kValues = 1024;
constexpr std::size_t kBytes = kValues * sizeof(float);

float* device_floats() {
  float* p = nullptr;
  MUST(cudaMalloc(&p, kBytes));
  return p;
}

int copy_wrong_side() {
  std::vector<float> host(kValues);
  return say(cudaMemcpy(host.data(), device_floats(), kBytes, cudaMemcpyHostToDevice));
}

int copy_past_end() {
  std::vector<float> host(kValues + 1);
  return say(cudaMemcpy(device_floats(), host.data(), kBytes + 4, cudaMemcpyHostToDevice));
}

int fill_host_memory() {
  std::vector<float> host(kValues);
  return say(cudaMemset(host.data(), 0, kBytes));
}

int copy_uninitialised() {
  float* device = device_floats();
  MUST(cudaMemset(device, 0, kBytes - 4));
  std::vector<float> host(kValues);
  return say(cudaMemcpy(host.data(), device, kBytes, cudaMemcpyDeviceToHost));
}

// What is unwritten at the source is unwritten at the target.
int copy_uninitialised_twice() {
  float *a = device_floats(), *b = device_floats();
  MUST(cudaMemset(b, 0, kBytes));
  MUST(cudaMemcpy(b, a, kBytes, cudaMemcpyDeviceToDevice));
  std::vector<float> host(kValues);
  return say(cudaMemcpy(host.data(), b, kBytes, cudaMemcpyDeviceToHost));
}

int free_twice() {
  float* p = device_floats();
  MUST(cudaFree(p));
  return say(cudaFree(p));
}

int free_pinned_as_device() {
  float* p = nullptr;
  MUST(cudaMallocHost(&p, kBytes));
  return say(cudaFree(p));
}

// The copy is legal when queued; the memory is gone when it runs.
int copy_after_pool_free() {
  cudaStream_t a = nullptr, b = nullptr;
  MUST(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
  MUST(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
  float *p = nullptr, *pinned = nullptr;
  MUST(cudaMallocAsync(&p, kBytes, a));
  MUST(cudaMallocHost(&pinned, kBytes));
  MUST(cudaMemsetAsync(p, 0, kBytes, a));
  MUST(cudaStreamSynchronize(a));
  MUST(cudaMemcpyAsync(pinned, p, kBytes, cudaMemcpyDeviceToHost, b));
  MUST(cudaFreeAsync(p, a));
  MUST(cudaStreamSynchronize(a));
  return say(cudaStreamSynchronize(b));
}

int registered_is_pinned() {
  std::vector<float> host(kValues, 2.0F);
  MUST(cudaHostRegister(host.data(), kBytes, cudaHostRegisterDefault));
  float* device = device_floats();
  cudaStream_t stream = nullptr;
  MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  MUST(cudaMemcpyAsync(device, host.data(), kBytes, cudaMemcpyHostToDevice, stream));
  MUST(cudaStreamSynchronize(stream));
  host.assign(kValues, 0.0F);
  MUST(cudaMemcpyAsync(host.data(), device, kBytes, cudaMemcpyDeviceToHost, stream));
  MUST(cudaStreamSynchronize(stream));
  MUST(cudaHostUnregister(host.data()));
  return host == std::vector<float>(kValues, 2.0F) ? kRight : kWrongBytes;
}

int managed_both_sides() {
  float *managed = nullptr, *device = device_floats();
  MUST(cudaMallocManaged(&managed, kBytes));
  for (int i = 0; i < kValues; ++i) managed[i] = 1;
  MUST(cudaMemset(device, 0, kBytes));
  add_scaled(managed, device, kValues, 1, nullptr);
  MUST(cudaGetLastError());
  MUST(cudaDeviceSynchronize());
  return managed[kValues - 1] == 1 ? kRight : kWrongBytes;
}

int pitched_copy() {
  constexpr std::size_t kPitch = 512, kRow = 12, kRows = 4;
  std::byte* device = nullptr;
  MUST(cudaMalloc(&device, kPitch * kRows));
  std::array<std::byte, kRow * kRows> in, out = {};
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::byte>(i);
  MUST(cudaMemcpy2D(device, kPitch, in.data(), kRow, kRow, kRows, cudaMemcpyHostToDevice));
  MUST(cudaMemcpy2D(out.data(), kRow, device, kPitch, kRow, kRows, cudaMemcpyDeviceToHost));
  return in == out ? kRight : kWrongBytes;
}

int wrong_device() {
  float* p = device_floats();
  MUST(cudaMemset(p, 0, kBytes));
  MUST(cudaDeviceSynchronize());
  MUST(cudaSetDevice(1));
  add_scaled(p, p, kValues, 1, nullptr);
  return say(cudaDeviceSynchronize());
}

int stream_of_other_device() {
  cudaStream_t stream = nullptr;
  MUST(cudaStreamCreate(&stream));
  float* p = device_floats();
  MUST(cudaSetDevice(1));
  add_scaled(p, p, kValues, 1, stream);
  return say(cudaGetLastError());
}

int variable_per_device() {
  int* p = nullptr;
  MUST(set_variable(9));
  MUST(cudaSetDevice(1));
  MUST(cudaMalloc(&p, sizeof(int)));
  read_variable(p, nullptr);
  int value = 0;
  MUST(cudaMemcpy(&value, p, sizeof(int), cudaMemcpyDeviceToHost));
  int own = 0, other = 0;
  MUST(get_variable(&other));
  MUST(cudaSetDevice(0));
  MUST(get_variable(&own));
  // The initialiser on device 1: 9 went to device 0.
  return value == 5 && other == 5 && own == 9 ? kRight : kWrongBytes;
}

int leak() {
  device_floats();
  return kRight;
}

int full_device() {
  void* p = nullptr;
  return say(cudaMalloc(&p, std::size_t{1} << 40));
}

int two_allocations() {
  void *a = nullptr, *b = nullptr;
  say(cudaMalloc(&a, kBytes));
  say(cudaMallocHost(&b, kBytes));
  say(cudaMallocHost(&b, kBytes));
  return kRight;
}

int traffic() {
  float *target = device_floats(), *source = nullptr;
  MUST(cudaMalloc(&source, kBytes * 32));
  MUST(cudaMemset(source, 0, kBytes * 32));
  gather(target, source, kValues, 1, nullptr);
  gather(target, source, kValues, 32, nullptr);
  MUST(cudaDeviceSynchronize());
  fmt::print("in the process: {}\n", control::take_traffic().size() > 100 ? "counted" : "nothing");
  gather(target, source, kValues, 1, nullptr);
  gather(target, source, kValues, 32, nullptr);
  reverse_shared(target, 1024, nullptr);
  MUST(cudaDeviceSynchronize());
  return kRight;
}

constexpr std::array kCases = {
    Case{"copy_wrong_side", copy_wrong_side},
    Case{"copy_past_end", copy_past_end},
    Case{"fill_host_memory", fill_host_memory},
    Case{"copy_uninitialised", copy_uninitialised},
    Case{"copy_uninitialised_twice", copy_uninitialised_twice},
    Case{"free_twice", free_twice},
    Case{"free_pinned_as_device", free_pinned_as_device},
    Case{"copy_after_pool_free", copy_after_pool_free},
    Case{"registered_is_pinned", registered_is_pinned},
    Case{"managed_both_sides", managed_both_sides},
    Case{"pitched_copy", pitched_copy},
    Case{"wrong_device", wrong_device},
    Case{"stream_of_other_device", stream_of_other_device},
    Case{"variable_per_device", variable_per_device},
    Case{"leak", leak},
    Case{"full_device", full_device},
    Case{"two_allocations", two_allocations},
    Case{"traffic", traffic},
};

}  // namespace

std::span<const Case> memory_cases() { return kCases; }

}  // namespace gpusim::host
