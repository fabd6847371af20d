// The real musterd on the CUDA plug-in, under the emulator: devices over sockets, ingest, spool,
// seal, aggregate, release. The released model is that of the CPU backend, byte for byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cuda_server/socket_fleet.h"

namespace muster::e2e {
namespace {

class CudaSockets : public testing::TestWithParam<const char*> {};

TEST_P(CudaSockets, ReleasesTheBytesOfTheCpu) {
  const FleetOutcome cpu = serve_fleet("cpu", GetParam());
  ASSERT_EQ(cpu.status, 0) << cpu.log;
  ASSERT_NE(cpu.model_sha256, "") << cpu.log;
  const FleetOutcome cuda = serve_fleet("cuda", GetParam());
  EXPECT_EQ(cuda.status, 0) << cuda.log;
  EXPECT_EQ(cuda.model_sha256, cpu.model_sha256) << cuda.log;
  EXPECT_THAT(cuda.log, testing::HasSubstr("gpusim")) << "not the emulated device";
}

INSTANTIATE_TEST_SUITE_P(Rules, CudaSockets,
                         testing::Values("codec = \"i8b\"\nrule = \"mean\"",
                                         "codec = \"i8b\"\nrule = \"trimmed_mean\"\nf = 1",
                                         "codec = \"f32\"\nrule = \"krum\"\nf = 1"));

}  // namespace
}  // namespace muster::e2e
