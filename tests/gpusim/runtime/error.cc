// Error codes as the program sees them.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>

#include "tests/gpusim/runtime/runtime.h"

using namespace gpusim;

namespace {

struct Named {
  cudaError_t error;
  const char* name;
  const char* sentence;
};

// Those this runtime returns; names and sentences are CUDA's.
constexpr std::array kErrors = {
    Named{cudaSuccess, "cudaSuccess", "no error"},
    Named{cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    Named{cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    Named{cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
          "invalid configuration argument"},
    Named{cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    Named{cudaErrorInvalidSymbol, "cudaErrorInvalidSymbol", "invalid device symbol"},
    Named{cudaErrorMissingConfiguration, "cudaErrorMissingConfiguration",
          "__global__ function call is not configured"},
    Named{cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction",
          "invalid device function"},
    Named{cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    Named{cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    Named{cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
          "no kernel image is available for execution on the device"},
    Named{cudaErrorPeerAccessUnsupported, "cudaErrorPeerAccessUnsupported",
          "peer access is not supported between these two devices"},
    Named{cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle",
          "invalid resource handle"},
    Named{cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    Named{cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
          "an illegal memory access was encountered"},
    Named{cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout",
          "the launch timed out and was terminated"},
    Named{cudaErrorAssert, "cudaErrorAssert", "device-side assert triggered"},
    Named{cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
          "part or all of the requested memory range is already mapped"},
    Named{cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
          "pointer does not correspond to a registered memory region"},
    Named{cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    Named{cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    Named{cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    Named{cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    Named{cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

constexpr Named kUnrecognized = {cudaErrorUnknown, "unrecognized error code",
                                 "unrecognized error code"};

const Named& named(cudaError_t error) {
  const auto found = std::find_if(kErrors.begin(), kErrors.end(),
                                  [error](const Named& n) { return n.error == error; });
  return found == kErrors.end() ? kUnrecognized : *found;
}

}  // namespace

extern "C" {

cudaError_t cudaGetLastError() {
  const Lock lock(runtime().mutex);
  return last_error(true);
}

cudaError_t cudaPeekAtLastError() {
  const Lock lock(runtime().mutex);
  return last_error(false);
}

const char* cudaGetErrorName(cudaError_t error) { return named(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return named(error).sentence; }

}  // extern "C"
