// What a start does with a GPU that is there and cannot be used, or that failed in the run before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/log.h"
#include "server/backend_choice.h"
#include "tests/cuda_server/child.h"
#include "tests/gpusim/runtime/control.h"

namespace muster::server {
namespace {

constexpr std::size_t kSlab = 1 << 20;

class GpuPolicy : public testing::Test {
 protected:
  void SetUp() override {
    log_setup(LogFormat::kText, LogLevel::kInfo);
    ASSERT_TRUE(gpusim::control::present()) << "run it by ctest, which puts the emulator first";
    config_.data_dir = folder_.path();
    config_.backend.memory_bytes = 8 << 20;
    config_.backend.gpu_deadline = 600 * kSecond;
  }

  struct Start {
    std::string kind, unready, reason;
    std::uint64_t fallbacks = 0, hangs = 0, kernels = 0, unavailable = 0;
  };
  /// Chooses in this process, with its own counters.
  Start start() {
    Stats stats;
    Start start;
    auto choice = choose_backend(config_, kSlab, storage_, stats);
    if (choice.ok()) {
      start.kind = choice->backend->kind();
      start.unready = choice->unready;
    } else {
      start.reason = choice.status().reason();
    }
    const auto errors = [&](const char* error_class) {
      return stats.counter("muster_gpu_errors_total", {{"class", error_class}}).value();
    };
    start.fallbacks = stats.counter("muster_backend_fallbacks_total").value();
    start.hangs = errors("hang");
    start.kernels = errors("kernel");
    start.unavailable = errors("unavailable");
    return start;
  }
  /// The backend of a start that must find one.
  std::unique_ptr<kernels::Backend> backend() {
    Stats stats;
    auto choice = choose_backend(config_, kSlab, storage_, stats);
    EXPECT_TRUE(choice.ok()) << choice.status().to_string();
    return choice.ok() ? std::move(choice->backend) : nullptr;
  }
  /// A run whose GPU fails: it takes memory, and the kernel that clears it does not.
  int run_until_failure(const char* fault) {
    gpusim::control::set(fault, 1);
    config_.backend.gpu_deadline = kSecond;
    Stats stats;
    const auto choice = choose_backend(config_, kSlab, storage_, stats);
    if (!choice.ok()) return 1;
    kernels::Backend& backend = *choice->backend;
    const kernels::Buffer sums = backend.allocate(8 * 64).value();
    backend.elect(sums.as<std::int64_t>(), 64, kernels::Stream::kCompute);
    backend.wait(backend.record(kernels::Stream::kCompute));
    return 0;
  }

  sim::Folder folder_;
  PosixStorage storage_;
  Config config_;
};

TEST_F(GpuPolicy, AutoTakesTheGpu) {
  const Start got = start();
  EXPECT_EQ(got.kind, "cuda");
  EXPECT_EQ(got.unready, "");
  EXPECT_EQ(got.fallbacks, 0u);
}

TEST_F(GpuPolicy, AllowServesWithTheCpuAndCounts) {
  gpusim::control::set("GPUSIM_FAIL_MALLOC", 1);
  const Start got = start();
  EXPECT_EQ(got.kind, "cpu");
  EXPECT_EQ(got.unready, "");
  EXPECT_EQ(got.fallbacks, 1u);
  EXPECT_EQ(got.unavailable, 1u);
}

TEST_F(GpuPolicy, ForbidIsNotReady) {
  config_.backend.gpu_fallback = "forbid";
  gpusim::control::set("GPUSIM_FAIL_MALLOC", 1);
  const Start got = start();
  EXPECT_EQ(got.kind, "cpu");
  EXPECT_EQ(got.unready, "gpu_unusable");
  EXPECT_EQ(got.fallbacks, 1u);
}

TEST_F(GpuPolicy, CudaInsists) {
  config_.backend.kind = "cuda";
  gpusim::control::set("GPUSIM_FAIL_MALLOC", 1);
  EXPECT_EQ(start().reason, "cuda_unavailable");
}

TEST_F(GpuPolicy, MoreGpusThanThereAreIsARefusal) {
  config_.backend.kind = "cuda";
  config_.backend.devices = 16;
  EXPECT_EQ(start().reason, "cuda_unavailable");
}

TEST_F(GpuPolicy, AsManyGpusAsThereAreCanBeHad) {
  config_.backend.kind = "cuda";
  config_.backend.devices = 1;
  EXPECT_EQ(start().kind, "cuda");
}

TEST_F(GpuPolicy, NoGpuIsNoFailure) {
  const std::uint64_t before = gpusim::control::count("devices");
  gpusim::control::set("GPUSIM_DEVICES", 0);
  const Start got = start();
  EXPECT_EQ(got.kind, "cpu");
  EXPECT_EQ(got.unready, "");
  EXPECT_EQ(got.fallbacks, 0u);
  EXPECT_EQ(got.unavailable, 0u);
  config_.backend.kind = "cuda";
  EXPECT_EQ(start().reason, "cuda_unavailable");
  gpusim::control::set("GPUSIM_DEVICES", before);
}

TEST_F(GpuPolicy, SixteenGpusMakeAGroup) {
  const std::uint64_t before = gpusim::control::count("devices");
  gpusim::control::set("GPUSIM_DEVICES", 16);
  config_.backend.kind = "cuda";
  EXPECT_THAT(backend()->description(), testing::StartsWith("16 GPUs, each cuda, gpusim 0 "));
  gpusim::control::set("GPUSIM_DEVICES", before);
}

TEST_F(GpuPolicy, TheLeastCapabilityIsEnough) {
  config_.backend.kind = "cuda";
  gpusim::control::set("GPUSIM_ARCH", 75);
  EXPECT_EQ(start().reason, "cuda_unavailable");
  gpusim::control::set("GPUSIM_ARCH", 80);
  EXPECT_EQ(start().kind, "cuda");
  gpusim::control::set("GPUSIM_ARCH", 90);
}

TEST_F(GpuPolicy, TheDescriptionNamesTheCard) {
  EXPECT_THAT(backend()->description(), testing::HasSubstr("compute 9.0 (sm_90, "));
  EXPECT_THAT(backend()->description(), testing::EndsWith(" multiprocessors, 4 GiB)"));
}

/// Where a cohort does not fit what a block has, its plan has room for it elsewhere.
TEST_F(GpuPolicy, PlansHaveScratchForLargeCohorts) {
  const auto gpu = backend();
  EXPECT_EQ(gpu->window_sum_scratch_bytes(0), 0u);
  EXPECT_EQ(gpu->window_sum_scratch_bytes(100), 0u);
  EXPECT_GE(gpu->window_sum_scratch_bytes(10'000), 10'000 * sizeof(std::int64_t));
  // A Gram matrix gathers the codes.
  EXPECT_GE(gpu->scratch_bytes(1000, 65'536), std::size_t{1000} * 65'536);
}

TEST_F(GpuPolicy, TheBudgetIsThereToTheLastByte) {
  const auto gpu = backend();
  const kernels::Buffer all = gpu->allocate(8 << 20).value();
  EXPECT_EQ(gpu->allocate(1).status().reason(), "backend_memory");
  gpu->release(all);
  gpu->release(gpu->allocate(8 << 20).value());
}

/// Pieces go to the GPUs in turn, so that the first may be full where others are not: nobody keeps
/// what a refusal had taken already.
TEST_F(GpuPolicy, OneFullGpuOfSeveralRefusesForAll) {
  const auto gpu = backend();
  constexpr std::size_t kMiB = 1 << 20;
  const kernels::Buffer piece = gpu->allocate_by_chunk(6 * kMiB, 6 * kMiB).value();
  EXPECT_EQ(gpu->allocate(3 * kMiB).status().reason(), "backend_memory");
  gpu->release(gpu->allocate(2 * kMiB).value());
  gpu->release(piece);
  gpu->release(gpu->allocate(8 * kMiB).value());
}

/// A small need takes the smallest piece that is large enough, and leaves the large ones whole.
TEST_F(GpuPolicy, SmallBuffersDoNotBreakLargePieces) {
  const auto gpu = backend();
  constexpr std::size_t kKiB = 1024;
  const auto take = [&](std::size_t kib) {
    const auto buffer = gpu->allocate(kib * kKiB);
    EXPECT_TRUE(buffer.ok()) << kib << " KiB: " << buffer.status().to_string();
    return buffer.ok() ? *buffer : kernels::Buffer{};
  };
  // 1 and 2 MiB to be free between what stays; behind, of 8 MiB and the reserve, 2.5.
  const kernels::Buffer small = take(1024);
  take(64);
  const kernels::Buffer large = take(2048);
  take(64);
  take(3968);
  gpu->release(small);
  gpu->release(large);
  take(1024);
  take(2304);
  take(512);
}

TEST_F(GpuPolicy, TheRunAfterAFailureIsTheCpusAndTheNextTriesAgain) {
  const sim::ChildEnd end = sim::in_child([&] { return run_until_failure("GPUSIM_FAIL_LAUNCH"); });
  ASSERT_EQ(end.status, 69) << end.output;
  EXPECT_EQ(end.count("the GPU failed: "), 1u) << end.output;
  const Start after = start();
  EXPECT_EQ(after.kind, "cpu");
  EXPECT_EQ(after.fallbacks, 1u);
  EXPECT_EQ(after.kernels, 1u);
  const Start next = start();
  EXPECT_EQ(next.kind, "cuda");
  EXPECT_EQ(next.fallbacks, 0u);
  EXPECT_EQ(next.kernels, 0u);
}

TEST_F(GpuPolicy, AHangIsNoticedAndCounted) {
  const sim::ChildEnd end = sim::in_child([&] { return run_until_failure("GPUSIM_HANG"); });
  ASSERT_EQ(end.status, 69) << end.output;
  EXPECT_EQ(start().hangs, 1u);
}

/// The deadline is for calls that do not return, not for the time between them.
TEST_F(GpuPolicy, AnIdleGpuDoesNotHang) {
  config_.backend.gpu_deadline = kSecond;
  const sim::ChildEnd end = sim::in_child([&] {
    const auto gpu = backend();
    gpu->wait(gpu->record(kernels::Stream::kCompute));
    std::this_thread::sleep_for(std::chrono::milliseconds(1800));
    return 0;
  });
  EXPECT_EQ(end.status, 0) << end.output;
}

TEST_F(GpuPolicy, ForbidTriesAFailedGpuAgainAtOnce) {
  config_.backend.gpu_fallback = "forbid";
  const sim::ChildEnd end = sim::in_child([&] { return run_until_failure("GPUSIM_FAIL_LAUNCH"); });
  ASSERT_EQ(end.status, 69) << end.output;
  const Start after = start();
  EXPECT_EQ(after.kind, "cuda");
  EXPECT_EQ(after.unready, "");
  EXPECT_EQ(after.kernels, 1u);
}

}  // namespace
}  // namespace muster::server
