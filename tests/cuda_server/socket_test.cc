// The real musterd on the CUDA plug-in, under the emulator: devices over sockets, ingest, spool,
// seal, aggregate, release. The released model is that of the CPU backend, byte for byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cuda_server/socket_fleet.h"

namespace muster::e2e {
namespace {

class CudaSockets : public testing::TestWithParam<const char*> {};

TEST_P(CudaSockets, ReleasesTheBytesOfTheCpu) {
  const FleetOutcome cpu = SocketFleet(GetParam()).serve("cpu");
  ASSERT_EQ(cpu.status, 0) << cpu.log;
  ASSERT_NE(cpu.model_sha256, "") << cpu.log;
  const FleetOutcome cuda = SocketFleet(GetParam()).serve("cuda");
  EXPECT_EQ(cuda.status, 0) << cuda.log;
  EXPECT_EQ(cuda.model_sha256, cpu.model_sha256) << cuda.log;
  EXPECT_THAT(cuda.log, testing::HasSubstr("gpusim")) << "not the emulated device";
}

INSTANTIATE_TEST_SUITE_P(Rules, CudaSockets,
                         testing::Values("codec = \"i8b\"\nrule = \"mean\"",
                                         "codec = \"i8b\"\nrule = \"trimmed_mean\"\nf = 1",
                                         "codec = \"f32\"\nrule = \"krum\"\nf = 1"));

/// Noise comes from a server's secrets: one server takes all updates but the last, and two copies
/// of its disk make the release.
TEST(CudaPrivateSockets, ReleasesTheBytesOfTheCpu) {
  SocketFleet cpu(
      "codec = \"i8b\"\nrule = \"trimmed_mean\"\nf = 1\n[task.privacy]\nclip_norm = 0.1\n"
      "noise_multiplier = 1.0\npopulation = \"people\"\nbudget_epsilon = 20\ndelta = 1e-6\n"
      "allow_small_cohort = true",
      1);
  constexpr std::uint32_t kLast = SocketFleet::kDevices - 1;
  const FleetOutcome begun = cpu.serve("cpu", 0, kLast);
  ASSERT_EQ(begun.status, 0) << begun.log;
  ASSERT_EQ(begun.model_sha256, "") << begun.log;
  SocketFleet cuda = cpu;
  const FleetOutcome expected = cpu.serve("cpu", kLast);
  ASSERT_EQ(expected.status, 0) << expected.log;
  ASSERT_NE(expected.model_sha256, "") << expected.log;
  const FleetOutcome got = cuda.serve("cuda", kLast);
  EXPECT_EQ(got.status, 0) << got.log;
  EXPECT_EQ(got.model_sha256, expected.model_sha256) << got.log;
  EXPECT_THAT(got.log, testing::HasSubstr("gpusim")) << "not the emulated device";
}

}  // namespace
}  // namespace muster::e2e
