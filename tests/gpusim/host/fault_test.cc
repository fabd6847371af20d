// Each planted fault, and the report it must give.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/gpusim/host/run_case.h"

namespace gpusim::host {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int kReported = 86;

struct Planted {
  const char* name;
  std::vector<const char*> says;
  int devices = 1;
};

class PlantedFault : public testing::TestWithParam<Planted> {};

TEST_P(PlantedFault, IsReported) {
  const Planted& planted = GetParam();
  for (const int seed : {0, 1, 3}) {
    const Outcome outcome =
        run_case(fmt::format("GPUSIM_SEED={} GPUSIM_DEVICES={} GPUSIM_DEADLOCK_MS=300", seed,
                             planted.devices),
                 planted.name);
    EXPECT_EQ(outcome.status, kReported) << outcome.output;
    for (const char* text : planted.says) EXPECT_THAT(outcome.output, HasSubstr(text));
  }
}

const std::vector<Planted> kPlanted = {
    {"copy_wrong_side", {"gpusim: cudaMemcpy:", "wrong side", "got cudaErrorInvalidValue"}},
    {"copy_past_end", {"4 bytes past the end of device memory", "got cudaErrorInvalidValue"}},
    {"fill_host_memory", {"gpusim: cudaMemset:", "got cudaErrorInvalidValue"}},
    {"copy_uninitialised", {"byte 4092 of 4096", "never written", "got cudaSuccess"}},
    {"copy_uninitialised_twice", {"byte 0 of 4096", "never written"}},
    {"free_twice", {"gpusim: cudaFree:", "got cudaErrorInvalidValue"}},
    {"free_pinned_as_device", {"gpusim: cudaFree:", "got cudaErrorInvalidValue"}},
    {"wrong_device", {"gpusim: kernel:", "got cudaErrorIllegalAddress"}, 2},
    {"stream_of_other_device", {"another one than the current, 1"}, 2},
    {"out_of_bounds", {"gpusim: kernel:", "kernels.cu", "got cudaErrorIllegalAddress"}},
    {"empty_grid", {"a grid of 0 x 1 x 1", "got cudaErrorInvalidConfiguration\ngot cudaSuccess"}},
    {"shared_without_asking", {"102400 bytes of dynamic", "got cudaErrorInvalidValue"}},
    {"shared_asked_for", {"307200 bytes of dynamic", "got cudaErrorInvalidValue"}},
    {"no_such_stream", {"no such stream", "got cudaErrorInvalidResourceHandle"}},
    {"call_from_host_function", {"cudaLaunchHostFunc", "got cudaErrorNotPermitted"}},
    {"int8_odd_size", {"k = 63", "got CUBLAS_STATUS_NOT_SUPPORTED"}},
    {"int8_odd_stride", {"lda = 61", "got CUBLAS_STATUS_NOT_SUPPORTED"}},
    {"int8_odd_address", {"multiples of 4", "got CUBLAS_STATUS_NOT_SUPPORTED"}},
    {"int8_small_stride", {"leading dimension 60 of A"}},
    {"int8_small_result", {"C: 256 bytes", "4 bytes past the end"}},
    {"int8_overflow", {"leaves int32"}},
    {"blas_host_operand", {"A: ", "no address of device memory"}},
    {"blas_unwritten_operand", {"column 0 of A", "never written"}},
    {"blas_scalar_on_wrong_side", {"cublasSetPointerMode"}},
    {"blas_handle_of_other_device", {"device 0 is used while device 1 is current"}, 2},
    {"blas_stream_of_other_device", {"another device than the handle"}, 2},
    {"nccl_no_group", {"one thread drives ranks 0 and 1", "hangs on a GPU"}, 2},
    {"nccl_mismatch", {"of 50", "others call ncclAllReduce of 100"}, 2},
    {"nccl_lonely", {"deadlock", "by rank 0", "got cudaErrorLaunchTimeout"}, 2},
    {"nccl_never_joins", {"these never joined: 1"}, 2},
    {"nccl_same_device_twice", {"rank 0 is there already"}, 2},
    {"nccl_wrong_device_current", {"used while device 1 is current"}, 2},
    {"nccl_host_buffer", {"send buffer: ", "no address of device memory"}, 2},
    {"nccl_transfer_mismatch", {"99 elements", "the other side has 100"}, 2},
    {"nccl_send_without_receive", {"deadlock", "by rank 0", "got cudaErrorLaunchTimeout"}, 2},
    {"nccl_unwritten_buffer", {"ncclAllReduce", "never written"}, 2},
    {"nccl_overlap", {"overlap and are not in place"}, 2},
};

INSTANTIATE_TEST_SUITE_P(Host, PlantedFault, testing::ValuesIn(kPlanted),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Failures, TheNthAllocationFindsNoMemoryAndTheNextOneDoes) {
  const Outcome outcome = run_case("GPUSIM_FAIL_MALLOC=2", "two_allocations");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              HasSubstr("got cudaSuccess\ngot cudaErrorMemoryAllocation\ngot cudaSuccess"));
}

TEST(Failures, ADeviceHasTheMemoryItWasGiven) {
  EXPECT_THAT(run_case("GPUSIM_MEMORY_MB=100", "full_device").output,
              HasSubstr("got cudaErrorMemoryAllocation"));
}

TEST(Failures, TheNthLaunchDiesAndTheErrorStays) {
  EXPECT_THAT(run_case("", "three_launches").output, HasSubstr("got cudaSuccess"));
  for (int launch = 1; launch <= 3; ++launch)
    for (const int seed : {0, 1, 2, 3})
      EXPECT_THAT(run_case(fmt::format("GPUSIM_SEED={} GPUSIM_FAIL_LAUNCH={}", seed, launch),
                           "three_launches")
                      .output,
                  HasSubstr("got cudaErrorLaunchFailure"));
}

TEST(Failures, EveryCallCanFailAndNoneAfterTheLast) {
  constexpr int kCalls = 6;  // of that case
  for (int call = 1; call <= kCalls; ++call) {
    const Outcome outcome =
        run_case(fmt::format("GPUSIM_FAIL_CALL={}", call), "every_call_checked");
    EXPECT_EQ(outcome.status, 3) << "call " << call << "\n" << outcome.output;
  }
  EXPECT_EQ(run_case(fmt::format("GPUSIM_FAIL_CALL={}", kCalls + 1), "every_call_checked").status,
            0);
}

TEST(Failures, AHungLaunchNeverEndsAndIsNoDeadlock) {
  for (const int seed : {0, 1, 2, 3}) {
    const Outcome outcome = run_case(
        fmt::format("GPUSIM_SEED={} GPUSIM_HANG=1 GPUSIM_DEADLOCK_MS=1", seed), "watchdog");
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("still not ready"));
  }
}

TEST(Failures, WorkOnMemoryFreedBeforeItRanIsReported) {
  const Outcome outcome = run_case("GPUSIM_SEED=1", "copy_after_pool_free");
  EXPECT_EQ(outcome.status, kReported);
  EXPECT_THAT(outcome.output, HasSubstr("cudaMemcpyAsync: when it ran:"));
}

TEST(Exit, LeaksAreReportedOnDemand) {
  EXPECT_EQ(run_case("", "leak").status, 0);
  const Outcome outcome = run_case("GPUSIM_LEAKS=1", "leak");
  EXPECT_EQ(outcome.status, kReported);
  EXPECT_THAT(outcome.output, HasSubstr("4096 bytes of device memory on device 0, allocation 1"));
}

TEST(Exit, ReportsChangeTheStatusUnlessTolerated) {
  EXPECT_EQ(run_case("GPUSIM_TOLERATE=1", "copy_uninitialised").status, 0);
  EXPECT_EQ(run_case("GPUSIM_UNINIT=0", "copy_uninitialised").status, 0);
}

TEST(Exit, TrafficIsCountedByKernel) {
  const std::string path = testing::TempDir() + "/gpusim_traffic.json";
  const Outcome outcome = run_case("GPUSIM_UNINIT=0 GPUSIM_TRAFFIC=" + path, "traffic");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("in the process: counted"));
  const auto json = nlohmann::json::parse(std::ifstream(path));
  ASSERT_EQ(json["kernels"].size(), 2U);  // of the launches after the counters were taken
  const bool first =
      json["kernels"][0]["name"].get<std::string>().find("gather") != std::string::npos;
  const auto& gather = json["kernels"][first ? 0 : 1];
  const auto& reverse = json["kernels"][first ? 1 : 0];
  // 32 lanes x 4 bytes side by side are 4 sectors; 128 bytes apart, 32. One store each, coalesced.
  EXPECT_EQ(gather["launches"], 2);
  EXPECT_EQ(gather["global_requests"], 4 * 1024 / 32);
  EXPECT_EQ(gather["global_sectors"], (3 * 4 + 32) * 1024 / 32);
  EXPECT_EQ(reverse["sector_use"], 1.0);
  EXPECT_EQ(reverse["bank_conflicts"], 1.0);
  ASSERT_FALSE(reverse["lines"].empty());
  EXPECT_THAT(reverse["lines"][0]["file"].get<std::string>(), HasSubstr("kernels.cu"));
}

TEST(Devices, OccupancyFollowsSharedMemory) {
  EXPECT_THAT(run_case("", "occupancy_of_shared_memory").output,
              HasSubstr("4 blocks with 1024 bytes\n2 blocks with 102400 bytes"));
}

TEST(Devices, AsManyAsAskedFor) {
  EXPECT_THAT(run_case("GPUSIM_DEVICES=16", "count_devices").output,
              HasSubstr("16 devices\ngpusim 15 compute 9.0"));
  EXPECT_THAT(run_case("GPUSIM_ARCH=80", "count_devices").output, HasSubstr("compute 8.0"));
  EXPECT_THAT(run_case("GPUSIM_DEVICES=0", "count_devices").output,
              HasSubstr("0 devices\ngot cudaErrorNoDevice"));
  EXPECT_THAT(run_case("GPUSIM_DEVICES=17", "count_devices").output,
              HasSubstr("GPUSIM_DEVICES=\"17\" is not a number from 0 to 16"));
}

TEST(Nccl, IsRightByGroupsByThreadsAndInARingOnAnyNumberOfDevices) {
  for (const int devices : {1, 2, 4, 8})
    for (const int seed : {0, 1, 2, 3, 5})
      for (const char* name : {"nccl_by_group", "nccl_by_threads", "nccl_ring"}) {
        if (devices == 1 && std::string(name) == "nccl_ring") continue;  // nobody to send to
        const Outcome outcome =
            run_case(fmt::format("GPUSIM_SEED={} GPUSIM_DEVICES={}", seed, devices), name);
        EXPECT_EQ(outcome.status, 0) << name << " on " << devices << ", seed " << seed << "\n"
                                     << outcome.output;
      }
}

TEST(Blas, FloatSumsHaveTheOrderOfTheSeed) {
  std::string first = run_case("GPUSIM_SEED=0", "blas_float_order").output;
  bool differs = false;
  for (int seed = 1; seed < 8; ++seed)
    differs |= run_case(fmt::format("GPUSIM_SEED={}", seed), "blas_float_order").output != first;
  EXPECT_TRUE(differs);
}

TEST(Program, WithoutReadablePtxIsToldWhatItHoldsInstead) {
  const Outcome machine_code = run("", "gpusim_machine_code");
  EXPECT_THAT(machine_code.output, HasSubstr("the program holds machine code for sm_80"));
  EXPECT_THAT(machine_code.output, HasSubstr("got cudaErrorNoKernelImageForDevice"));
  EXPECT_THAT(run("", "gpusim_compressed").output, HasSubstr("compressed PTX for compute_90"));
  EXPECT_THAT(run_case("GPUSIM_ARCH=80", "three_launches").output,
              HasSubstr("PTX for compute_90, but no plain PTX that compute_80 can run"));
}

}  // namespace
}  // namespace gpusim::host
