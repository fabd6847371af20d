// musterd as it is deployed: the plug-in beside it and the real CUDA libraries, on a machine
// without a driver. It says so in one line, and the CPU serves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "tests/cuda_server/socket_fleet.h"

namespace muster::e2e {
namespace {

std::size_t lines_with(const std::string& text, const std::string& part) {
  std::size_t lines = 0, begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += text.substr(begin, end - begin).find(part) != std::string::npos;
    begin = end + 1;
  }
  return lines;
}

TEST(NoDriverServer, SaysSoInOneLineAndTheCpuServes) {
  const std::string task = "codec = \"i8b\"\nrule = \"trimmed_mean\"\nf = 1";
  const FleetOutcome got = SocketFleet(task).serve("auto");
  if (got.log.find("cuda, ") != std::string::npos) GTEST_SKIP() << "a driver answers here";
  EXPECT_EQ(got.status, 0) << got.log;
  EXPECT_EQ(got.model_sha256, SocketFleet(task).serve("cpu").model_sha256);
  EXPECT_EQ(lines_with(got.log, "backend_cpu"), 1u) << got.log;
  EXPECT_EQ(lines_with(got.log, "CUDA"), 1u) << got.log;
  EXPECT_THAT(got.log, testing::ContainsRegex("driver|no CUDA-capable device"));
}

TEST(NoDriverServer, AskingForCudaIsARefusal) {
  const FleetOutcome got = SocketFleet("codec = \"i8b\"\nrule = \"mean\"").serve("cuda");
  if (got.log.find("cuda, ") != std::string::npos) GTEST_SKIP() << "a driver answers here";
  EXPECT_TRUE(WIFEXITED(got.status) && WEXITSTATUS(got.status) == 69) << got.status << got.log;
  EXPECT_THAT(got.log, testing::HasSubstr("cuda_unavailable"));
}

}  // namespace
}  // namespace muster::e2e
