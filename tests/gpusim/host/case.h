// The programs that host_test.cc runs under the emulator: right ones, and ones with a planted
// fault. Each exits with 0 (right bytes), 1 (wrong bytes) or 3 (a call failed that should not);
// the emulator makes it 86 when it reported something.
#pragma once

#include <cuda_runtime.h>

#include <span>
#include <string_view>

namespace gpusim::host {

struct Case {
  std::string_view name;
  int (*run)();
};

// One table a file.
std::span<const Case> ordering_cases();
std::span<const Case> memory_cases();
std::span<const Case> failure_cases();
std::span<const Case> blas_cases();
std::span<const Case> nccl_cases();

constexpr int kRight = 0, kWrongBytes = 1;

// Ends the program with status 3 and the call's name unless result is 0.
void must(int result, const char* call);
// Says which error a call that should fail gave, and returns kRight.
int say(cudaError_t error);

}  // namespace gpusim::host

#define MUST(call) gpusim::host::must(static_cast<int>(call), #call)
