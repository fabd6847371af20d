// BLT noise from release to release: what RoundNoise adds is the filter's answer to all that was
// drawn, over files that are written, lost, damaged and torn.
#include "server/noise_memory.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/simulated_storage.h"
#include "privacy/apply.h"
#include "privacy/keys.h"
#include "server/private_noise.h"

namespace muster::server {
namespace {

const privacy::Blt kBlt = {{0.99, 0.7}, {0.02, 0.2}};
constexpr std::size_t kD = NoiseMemory::kBlock * 2 + 77;
constexpr int kLog2Sigma = 14;

privacy::Secret secret(std::uint8_t number) {
  const std::vector<std::byte> bytes(privacy::kSecretBytes, std::byte{number});
  return privacy::Secret::copy_of(bytes).value();
}

class NoiseMemoryTest : public testing::Test {
 protected:
  NoiseMemoryTest() {
    kernels::BackendOptions options;
    options.kind = "cpu";
    options.threads = 1;
    backend_ = kernels::create_backend(options, nullptr).value();
    grid_.log2_sigma = kLog2Sigma;
    EXPECT_TRUE(memory_.make_folder().ok());
  }

  /// The noise of release `release`, whose key is of that number, as the sum of a round gets it.
  Result<std::vector<std::int64_t>> noise(std::uint64_t release, std::uint64_t before,
                                          const std::vector<std::uint64_t>& unreleased = {}) {
    RoundNoise round(secret(static_cast<std::uint8_t>(release)));
    BltRound blt{memory_, kBlt};
    blt.release = release;
    blt.before = before;
    if (before > 0) blt.before_key = memory_key(before);
    for (const std::uint64_t each : unreleased)
      blt.unreleased.push_back(secret(static_cast<std::uint8_t>(each)));
    blt.memory_key = memory_key(release);
    round.filter(std::move(blt));
    std::vector<std::int64_t> sum(kD, 5);
    MUSTER_TRY(round.add(*backend_, privacy::kReleaseVector, grid_, sum.data(), kD));
    return sum;
  }
  static privacy::Secret memory_key(std::uint64_t release) {
    return privacy::memory_key(secret(static_cast<std::uint8_t>(release))).value();
  }

  /// What it has to be: one filter over everything, in memory.
  std::vector<std::int64_t> expected(std::uint64_t release) {
    privacy::BltFilter filter(kBlt, kD);
    std::vector<std::int64_t> z;
    for (std::uint64_t t = 1; t <= release; ++t) {
      z.assign(kD, 0);
      privacy::add_noise(*backend_, secret(static_cast<std::uint8_t>(t)), privacy::kReleaseVector,
                         grid_, z.data(), kD);
      filter.next(z);
    }
    for (std::int64_t& each : z) each += 5;
    return z;
  }

  std::vector<std::byte> file(std::uint64_t release) {
    return read_file(disk_, "data/noise/t/0000000" + std::to_string(release) + ".noise", 1 << 24)
        .value();
  }

  SimulatedStorage disk_{5};
  NoiseMemory memory_{disk_, "data/noise/t", 3, kBlt.theta.size(), kD};
  std::unique_ptr<kernels::Backend> backend_;
  privacy::NoiseGrid grid_;
};

TEST_F(NoiseMemoryTest, EveryReleaseIsTheFilterOfAllThatWasDrawn) {
  for (std::uint64_t t = 1; t <= 4; ++t) {
    const auto found = noise(t, t - 1);
    ASSERT_TRUE(found.ok()) << found.status().to_string();
    EXPECT_EQ(*found, expected(t)) << "release " << t;
    EXPECT_EQ(memory_.newest(99).value(), t);
    ASSERT_TRUE(memory_.forget_before(t).ok());
    EXPECT_EQ(disk_.list("data/noise/t")->size(), 1u);
  }
  // Correlated: not what fresh noise would be.
  privacy::BltFilter fresh(kBlt, kD);
  std::vector<std::int64_t> z(kD);
  privacy::add_noise(*backend_, secret(4), privacy::kReleaseVector, grid_, z.data(), kD);
  EXPECT_NE(z, expected(4));
}

TEST_F(NoiseMemoryTest, NoiseThatWasChargedAndNeverReleasedCounts) {
  ASSERT_TRUE(noise(1, 0).ok());
  EXPECT_EQ(noise(4, 1, {2, 3}).value(), expected(4));
  EXPECT_EQ(noise(3, 0, {1, 2}).value(), expected(3));
}

TEST_F(NoiseMemoryTest, ARoundThatIsClosedAgainLeavesTheSameBytes) {
  ASSERT_TRUE(noise(1, 0).ok());
  ASSERT_TRUE(noise(2, 1).ok());
  const auto once = file(2);
  EXPECT_EQ(noise(2, 1).value(), expected(2));
  EXPECT_EQ(file(2), once);
  // Nothing of it is to be read without the key: no eight bytes of it are the buffers' own.
  const std::vector<std::byte> zeros(64);
  EXPECT_EQ(std::search(once.begin() + 48, once.end(), zeros.begin(), zeros.end()), once.end());
}

TEST_F(NoiseMemoryTest, DamageIsFoundWhereverItIs) {
  ASSERT_TRUE(noise(1, 0).ok());
  const auto sound = file(1);
  const auto try_with = [&](std::vector<std::byte> bytes) {
    EXPECT_TRUE(write_file(disk_, "data/noise/t/00000001.noise", bytes).ok());
    return noise(2, 1).status();
  };
  for (std::size_t at = 0; at < sound.size(); at += at < 64 ? 1 : 40'009) {
    auto broken = sound;
    broken[at] ^= std::byte{16};
    EXPECT_EQ(try_with(broken).reason(), "noise_memory_corrupt") << "byte " << at;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{47}, sound.size() - 1}) {
    auto torn = sound;
    torn.resize(size);
    EXPECT_EQ(try_with(torn).reason(), "noise_memory_corrupt") << size << " bytes";
  }
  EXPECT_TRUE(try_with(sound).ok());
  // Another release's file under this name.
  EXPECT_EQ(try_with(file(2)).to_string(),
            "noise_memory_corrupt: data/noise/t/00000001.noise is damaged, or of another "
            "task or key; restore it from a backup that is as old as the control store's");
}

/// The power goes at every call of a release: what is there afterwards is whole.
TEST_F(NoiseMemoryTest, IsThereWholeOrNotAtAll) {
  ASSERT_TRUE(noise(1, 0).ok());
  const auto before = file(1);
  for (std::uint64_t k = 1;; ++k) {
    SimulatedStorage disk(k);
    NoiseMemory memory(disk, "data/noise/t", 3, kBlt.theta.size(), 100);
    ASSERT_TRUE(memory.make_folder().ok());
    const auto step = [](std::uint64_t, std::span<double> state) -> Status {
      for (double& each : state) each += 1.5;
      return {};
    };
    const privacy::Secret first = memory_key(1), second = memory_key(2);
    ASSERT_TRUE(memory.advance({}, {1, &first}, step).ok());
    disk.set_plan({.crash_call = k});
    const Status done = memory.advance({1, &first}, {2, &second}, step);
    const bool crashed = disk.crashed();
    disk.power_cycle();
    const std::uint64_t newest = memory.newest(5).value();
    if (done.ok()) {
      EXPECT_EQ(newest, 2u);
    }
    ASSERT_TRUE(newest == 1 || newest == 2) << newest;
    std::vector<double> seen;
    const privacy::Secret third = memory_key(3);
    ASSERT_TRUE(memory
                    .advance({newest, newest == 1 ? &first : &second}, {3, &third},
                             [&](std::uint64_t, std::span<double> state) -> Status {
                               seen.assign(state.begin(), state.end());
                               return {};
                             })
                    .ok());
    EXPECT_EQ(seen, std::vector<double>(200, 1.5 * static_cast<double>(newest)));
    if (!crashed) break;
  }
}

}  // namespace
}  // namespace muster::server
