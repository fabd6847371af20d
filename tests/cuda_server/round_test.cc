// Whole rounds on the CUDA plug-in under the emulator: intake, spool, seal, aggregate, release,
// with as many devices as GPUSIM_DEVICES says. The released model is the CPU backend's, byte for
// byte.
#include "tests/cuda_server/round.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/gpusim/runtime/control.h"

namespace muster::sim {
namespace {

// One of each way codes take: streamed one by one, counted, resident, read again, expanded,
// rotated; and of each way that sums take across devices.
constexpr Work kWork[] = {
    {"mean_i8b", "codec = 'i8b'\nrule = 'mean'"},
    {"mean_f32_momentum", "codec = 'f32'\nrule = 'mean'\noptimiser = 'momentum'"},
    {"clipped_mean_zstd",
     "codec = 'i8b'\nentropy = 'zstd'\nrule = 'clipped_mean'\nclip_norm = 0.3"},
    {"mean_hsq", "codec = 'hsq'\nrotation = 64\nrule = 'mean'"},
    {"mean_eden", "codec = 'eden'\nrotation = 64\nrule = 'mean'"},
    {"sign_majority", "codec = 'sign1'\nrule = 'sign_majority'\nstep = 0.01"},
    {"trimmed_mean_counted", "codec = 'i8s'\nscale_exponent = -10\nrule = 'trimmed_mean'\nf = 2"},
    {"trimmed_mean_i8b", "codec = 'i8b'\nrule = 'trimmed_mean'\nf = 2"},
    {"mean_topk", "codec = 'topk'\nkeep = 0.2\nrule = 'mean'"},
    {"median_eden", "codec = 'eden'\nrotation = 64\nrule = 'median'"},
    {"mean_randk", "codec = 'randk'\nkeep = 0.2\nrule = 'mean'"},
    {"krum_i8s", "codec = 'i8s'\nscale_exponent = -10\nrule = 'krum'\nf = 2"},
    {"multi_krum_f32", "codec = 'f32'\nrule = 'multi_krum'\nf = 2\nm = 3"},
    {"multi_krum_sketched",
     "codec = 'i8b'\nrule = 'multi_krum'\nf = 2\nm = 3\nscores = 'sketched'"},
    {"centred_clipping", "codec = 'i8b'\nrule = 'centred_clipping'\ntau = 0.5\niterations = 2"},
    {"median_nnm", "codec = 'i8b'\nrule = 'median'\npre_steps = ['nnm(f=3)']"},
};

// Of private tasks: one of each sum that noise goes on, of each way noise goes on from round to
// round, and of each way codes come to a sum that is not the rules' own. Some of the updates are
// longer than the clip norm.
constexpr char kClip[] = "clip_norm = 0.59\nnoise_multiplier = 1";
constexpr Work private_work(const char* name, const char* lines, const char* privacy,
                            std::uint32_t max_weight = 1) {
  return {.name = name, .lines = lines, .privacy = privacy, .max_weight = max_weight};
}
constexpr Work kPrivateWork[] = {
    private_work("mean_i8b", "codec = 'i8b'\nrule = 'clipped_mean'", kClip, 3),
    private_work("mean_eden", "codec = 'eden'\nrotation = 64\nrule = 'clipped_mean'", kClip),
    private_work("mean_topk", "codec = 'topk'\nkeep = 0.2\nrule = 'clipped_mean'", kClip),
    private_work("mean_hsq", "codec = 'hsq'\nrotation = 64\nrule = 'clipped_mean'", kClip),
    private_work("mean_adaptive", "codec = 'i8b'\nrule = 'clipped_mean'",
                 "clip_norm = 0.59\nnoise_multiplier = 0.5\nadaptive_clip = 'noised'"),
    private_work("mean_tree", "codec = 'f32'\nrule = 'clipped_mean'",
                 "clip_norm = 0.59\nnoise_multiplier = 1\nsampling = 'tree'"),
    private_work("mean_blt", "codec = 'i8b'\nrule = 'clipped_mean'",
                 "clip_norm = 0.59\nnoise_multiplier = 1\nsampling = 'blt'"),
    private_work("trimmed_mean_i8b", "codec = 'i8b'\nrule = 'trimmed_mean'\nf = 2", kClip),
    private_work("trimmed_mean_eden", "codec = 'eden'\nrotation = 64\nrule = 'trimmed_mean'\nf = 2",
                 kClip),
    private_work("centred_clipping", "codec = 'i8b'\nrule = 'centred_clipping'", kClip),
    private_work("sign_majority", "codec = 'sign1'\nrule = 'sign_majority'\nstep = 0.01",
                 "noise_multiplier = 0.2"),
    private_work("buckets", "codec = 'i8b'\nrule = 'trimmed_mean'\nbyzantine_share = 0.4",
                 "clip_norm = 0.59\nnoise_multiplier = 0.125\nmechanism = 'buckets'\nbuckets = 3"),
    private_work("shards", "codec = 'i8b'\nrule = 'median'",
                 "clip_norm = 0.59\nnoise_multiplier = 1\nmechanism = 'shards'\nshards = 3"),
    private_work("trimmed_shards", "codec = 'i8b'\nrule = 'trimmed_mean'\nf = 1",
                 "clip_norm = 0.59\nnoise_multiplier = 1\nmechanism = 'shards'\nshards = 3"),
};

class CudaRound : public testing::TestWithParam<Work> {};

TEST_P(CudaRound, ReleasesTheBytesOfTheCpu) {
  ASSERT_TRUE(gpusim::control::present()) << "run it by ctest, which puts the emulator first";
  const Sha256 expected = undisturbed_release(options_of(GetParam(), "cpu"), 1);
  const std::uint64_t before = gpusim::control::count("launches");
  EXPECT_EQ(undisturbed_release(options_of(GetParam(), "cuda"), 7), expected);
  EXPECT_GT(gpusim::control::count("launches"), before);
}

INSTANTIATE_TEST_SUITE_P(Rules, CudaRound, testing::ValuesIn(kWork),
                         [](const auto& instance) { return std::string(instance.param.name); });

INSTANTIATE_TEST_SUITE_P(Private, CudaRound, testing::ValuesIn(kPrivateWork),
                         [](const auto& instance) { return std::string(instance.param.name); });

/// A budget that holds the codes of one chunk only: the others are read from the spool at the
/// close.
TEST(CudaRound, ReadsCodesFromTheSpoolWhereTheyDoNotFit) {
  std::vector<Sha256> released;
  for (const char* backend : {"cpu", "cuda"}) {
    const std::string lines = "codec = 'i8b'\nrule = 'multi_krum'\nf = 2\nm = 3";
    SimulatedStorage storage(1);
    ManualClock clock;
    const auto node = SimNode::boot(storage, options_of({"all", lines.c_str()}, backend), clock);
    ASSERT_TRUE(node.ok()) << node.status().to_string();
    ASSERT_TRUE((*node)->task().plan().resident);
    const std::size_t enough = (*node)->task().plan().peak_bytes;
    const std::string less = lines + "\nmemory = '" + std::to_string(enough - 1) + "B'";
    released.push_back(undisturbed_release(options_of({"less", less.c_str()}, backend), 4));
    released.push_back(undisturbed_release(options_of({"all", lines.c_str()}, backend), 4));
  }
  EXPECT_THAT(released, testing::Each(released[0]));
}

TEST(CudaRound, UsesEveryDevice) {
  SimulatedStorage storage(1);
  ManualClock clock;
  const auto node = SimNode::boot(storage, options_of(kWork[0], "cuda"), clock);
  ASSERT_TRUE(node.ok()) << node.status().to_string();
  const char* devices = std::getenv("GPUSIM_DEVICES");
  const std::string description = (*node)->backend().description();
  if (devices != nullptr && std::atoi(devices) > 1)
    EXPECT_THAT(description, testing::StartsWith(std::string(devices) + " GPUs"));
  else
    EXPECT_THAT(description, testing::StartsWith("cuda, "));
}

}  // namespace
}  // namespace muster::sim
