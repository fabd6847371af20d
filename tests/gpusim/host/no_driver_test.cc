// The plug-in as it is deployed, with the real CUDA libraries, on a machine without a driver: one
// clear line, and the CPU backend serves.
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/backend.h"
#include "tests/gpusim/runtime/control.h"

namespace muster::kernels {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

class NoDriver : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_FALSE(gpusim::control::present()) << "LD_LIBRARY_PATH names the emulator";
    int devices = 0;
    if (cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0)
      GTEST_SKIP() << "a driver answers here, with " << devices << " devices";
  }
};

TEST_F(NoDriver, AutoServesWithTheCpuAndSaysWhyInOneLine) {
  Fallback fallback;
  const auto backend = create_backend({}, &fallback);
  ASSERT_TRUE(backend.ok());
  const std::string& note = fallback.cause;
  EXPECT_THAT(note, AnyOf(HasSubstr("driver"), HasSubstr("no CUDA-capable device"))) << note;
  EXPECT_THAT(note, Not(HasSubstr("\n")));
  EXPECT_FALSE(fallback.gpu_found);
}

TEST_F(NoDriver, AskingForCudaIsRefused) {
  BackendOptions options;
  options.kind = "cuda";
  const auto backend = create_backend(options, nullptr);
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.status().reason(), "cuda_unavailable");
}

}  // namespace
}  // namespace muster::kernels
