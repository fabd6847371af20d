// Every call of a round to the CUDA runtime, cuBLAS and NCCL fails once, and some kernels never end
// (R9): the process ends by itself with one clear line, or refuses to start with numbers; what was
// acknowledged is in the spool, and the next start, CPU or GPU, releases the bytes of an
// undisturbed run. Each case is a child process on a real disk, because the server dies of these.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/log.h"
#include "tests/cuda_server/child.h"
#include "tests/cuda_server/round.h"
#include "tests/gpusim/runtime/control.h"

namespace muster::sim {
namespace {

using testing::HasSubstr;
using testing::Not;

enum : int { kDone = 0, kRefused = 3, kBroken = 4, kReported = 5, kDeviceExit = 69 };

/// One release; the second work is for the tensor cores: from 64 rows on Krum takes cuBLAS. The
/// private one is charged before its noise is drawn: a call may fail between.
constexpr Work kWork[] = {
    {"krum", "codec = 'i8s'\nscale_exponent = -10\nrule = 'krum'\nf = 2", 7, 160, 64},
    {"krum_gemm", "codec = 'i8s'\nscale_exponent = -10\nrule = 'krum'\nf = 2", 64, 64, 64},
    {"trimmed_mean", "codec = 'i8b'\nrule = 'trimmed_mean'\nf = 2", 7, 160, 64},
    {"mean", "codec = 'i8b'\nrule = 'mean'", 7, 160, 64},
    {"private_mean", "codec = 'i8b'\nrule = 'clipped_mean'", 7, 160, 64,
     "clip_norm = 0.59\nnoise_multiplier = 1", 1},
};

class CudaFault : public testing::TestWithParam<Work> {
 protected:
  void SetUp() override {
    log_setup(LogFormat::kAuto, LogLevel::kError);
    ASSERT_TRUE(gpusim::control::present()) << "run it by ctest, which puts the emulator first";
    {
      PosixStorage storage;
      ManualClock clock;
      const auto node = SimNode::boot(storage, options(first_.path() + "/data", "cpu"), clock);
      ASSERT_TRUE(node.ok()) << node.status().to_string();
    }
    expected_ = release_on_copy("cpu");
    // The plug-in and its kernels, loaded once for all forks.
    ASSERT_EQ(release_on_copy("cuda"), expected_);
  }

  /// The disk of a server with an open round: the round's secret, on which ties and noise depend,
  /// is drawn.
  std::string copy_first_to(const Folder& folder) const {
    const std::string data = folder.path() + "/data";
    std::filesystem::copy(first_.path() + "/data", data, std::filesystem::copy_options::recursive);
    return data;
  }

  Sha256 release_on_copy(const std::string& backend) const {
    const Folder folder;
    PosixStorage storage;
    ManualClock clock;
    auto node = SimNode::boot(storage, options(copy_first_to(folder), backend), clock);
    EXPECT_TRUE(node.ok()) << node.status().to_string();
    if (!node.ok()) return {};
    const Status status = play(**node, 1);
    EXPECT_TRUE(status.ok()) << status.to_string();
    return release_of(**node, 1);
  }

  static SimOptions options(const std::string& folder, const std::string& backend) {
    SimOptions options = options_of(GetParam(), backend, 1);
    options.config.data_dir = folder;
    return options;
  }

  /// Boots in `folder` with the CUDA backend and plays to the release; `arm` sets the fault first.
  /// Calls made until the node was up, and until all was over, go to `calls`.
  static int play_in_child(const SimOptions& options, const std::function<void()>& arm,
                           std::uint64_t* calls = nullptr) {
    PosixStorage storage;
    ManualClock clock;
    arm();
    const std::uint64_t before = gpusim::control::count("calls");
    {
      auto node = SimNode::boot(storage, options, clock);
      if (!node.ok()) {
        std::fprintf(stderr, "start refused: %s\n", node.status().to_string().c_str());
        return kRefused;
      }
      if (calls != nullptr) calls[0] = gpusim::control::count("calls") - before;
      if (!play(**node, 3).ok()) return kBroken;
      if (calls != nullptr) calls[1] = gpusim::control::count("calls") - before;
    }
    return gpusim::control::count("reports") == 0 ? kDone : kReported;
  }

  /// The start after: the release must be there, or come now.
  void expect_release(const std::string& folder, const std::string& backend) {
    const auto run = [&] {
      PosixStorage storage;
      ManualClock clock;
      auto node = SimNode::boot(storage, options(folder, backend), clock);
      if (!node.ok()) {
        std::fprintf(stderr, "%s\n", node.status().to_string().c_str());
        return int{kRefused};
      }
      const Status status = play(**node, 5);
      const auto hash = (*node)->model_hash(1);
      if (status.ok() && hash.ok() && *hash == expected_) return int{kDone};
      std::fprintf(stderr, "%s, %s\n", status.to_string().c_str(),
                   hash.ok() ? "other bytes" : hash.status().to_string().c_str());
      return int{kBroken};
    };
    const ChildEnd end = in_child(run);
    EXPECT_EQ(end.status, kDone) << end.output;
  }

  void expect_clean_end(const ChildEnd& end) {
    if (end.status == kDeviceExit) {
      EXPECT_EQ(end.count("the GPU failed: "), 1u) << end.output;
      EXPECT_THAT(end.output, HasSubstr("the next start resumes\n"));
    } else if (end.status == kRefused) {
      EXPECT_EQ(end.count("start refused: "), 1u) << end.output;
    } else {
      // Past the last call, or in one whose result nobody needs (the end of the process).
      EXPECT_EQ(end.status, kDone) << end.output;
    }
  }

  /// Of a start, and of a whole life.
  std::pair<std::uint64_t, std::uint64_t> count_calls() {
    Folder folder;
    const ChildEnd end = in_child([&] {
      std::uint64_t calls[2] = {};
      const int status = play_in_child(
          options(copy_first_to(folder), "cuda"), [] {}, calls);
      std::fprintf(stderr, "calls %llu %llu\n", static_cast<unsigned long long>(calls[0]),
                   static_cast<unsigned long long>(calls[1]));
      return status;
    });
    EXPECT_EQ(end.status, kDone) << end.output;
    unsigned long long start = 0, all = 0;
    const std::size_t at = end.output.find("calls ");
    if (at != std::string::npos)
      std::sscanf(end.output.c_str() + at, "calls %llu %llu", &start, &all);
    return {start, all};
  }

  const Folder first_;
  Sha256 expected_;
};

/// Of a start every call up to here and from the end: between are events, one like the other.
constexpr std::uint64_t kEdge = 12;

TEST_P(CudaFault, ACallThatFailsNeverLosesOrChangesARelease) {
  const auto [start, all] = count_calls();
  ASSERT_GT(start, 100u);
  ASSERT_GT(all, start + 20);
  const char* wish = std::getenv("MUSTER_FAULT_STRIDE");
  const std::uint64_t stride = wish != nullptr ? std::strtoull(wish, nullptr, 10) : 1;
  const char* only = std::getenv("MUSTER_FAULT_CALL");
  std::size_t refused = 0, ended = 0, absorbed = 0, number = 0;
  for (std::uint64_t k = 1; k <= all + 1; ++k) {
    if (only != nullptr && k != std::strtoull(only, nullptr, 10)) continue;
    const bool among_events = k > kEdge && k + kEdge < start;
    if (among_events && k % 61 != 0) continue;
    if (++number % stride != 0) continue;
    SCOPED_TRACE("call " + std::to_string(k) + " of " + std::to_string(all));
    Folder folder;
    const std::string data = copy_first_to(folder);
    const ChildEnd end = in_child([&] {
      return play_in_child(options(data, "cuda"),
                           [k] { gpusim::control::set("GPUSIM_FAIL_CALL", k); });
    });
    expect_clean_end(end);
    refused += end.status == kRefused;
    ended += end.status == kDeviceExit;
    absorbed += end.status == kDone;
    expect_release(data, number % 8 == 0 ? "cuda" : "cpu");
    if (HasFailure()) return;
  }
  EXPECT_GT(refused + ended, 0u);
  std::printf(
      "%zu of %llu calls failed: %zu refused to start, %zu ended the process, %zu were of no "
      "consequence; 0 lost, 0 wrong\n",
      refused + ended + absorbed, static_cast<unsigned long long>(all), refused, ended, absorbed);
}

TEST_P(CudaFault, AKernelThatFailsOrNeverEndsDoesNotEither) {
  for (const char* fault : {"GPUSIM_FAIL_LAUNCH", "GPUSIM_HANG"})
    for (const std::uint64_t kernel : {1u, 4u}) {
      SCOPED_TRACE(std::string(fault) + " " + std::to_string(kernel));
      Folder folder;
      const std::string data = copy_first_to(folder);
      SimOptions dying = options(data, "cuda");
      const bool hangs = fault == std::string_view("GPUSIM_HANG");
      if (hangs) dying.hang_seconds = 1;
      const ChildEnd end = in_child(
          [&] { return play_in_child(dying, [&] { gpusim::control::set(fault, kernel); }); });
      EXPECT_EQ(end.status, kDeviceExit) << end.output;
      expect_clean_end(end);
      if (hangs) {
        EXPECT_THAT(end.output, HasSubstr("no progress for 1 s"));
      }
      expect_release(data, kernel == 4 ? "cuda" : "cpu");
    }
}

TEST_P(CudaFault, OutOfMemoryAtStartIsARefusalWithNumbers) {
  for (const std::uint64_t allocation : {1u, 2u}) {
    Folder folder;
    const ChildEnd end = in_child([&] {
      return play_in_child(options(copy_first_to(folder), "cuda"),
                           [&] { gpusim::control::set("GPUSIM_FAIL_MALLOC", allocation); });
    });
    EXPECT_EQ(end.status, kRefused) << end.output;
    EXPECT_THAT(end.output,
                testing::ContainsRegex("[0-9]+ bytes of (device|pinned) memory refused"));
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, CudaFault, testing::ValuesIn(kWork),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace muster::sim
