#include "kernels/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace muster::kernels {
namespace {

std::unique_ptr<Backend> cpu_backend(std::size_t memory_bytes = 0) {
  BackendOptions options;
  options.kind = "cpu";
  options.threads = 2;
  options.memory_bytes = memory_bytes;
  return create_backend(options, nullptr).value();
}

TEST(CreateBackend, RefusesAnUnknownKind) {
  BackendOptions options;
  options.kind = "tpu";
  EXPECT_EQ(create_backend(options, nullptr).status().reason(), "backend_unknown");
}

TEST(CreateBackend, SaysWhyCudaIsNotThereAndAutoFallsBack) {
  BackendOptions options;
  options.kind = "cuda";
  const auto cuda = create_backend(options, nullptr);
  if (cuda.ok()) GTEST_SKIP() << "this machine has a usable device";
  EXPECT_EQ(cuda.status().reason(), "cuda_unavailable");
  EXPECT_FALSE(cuda.status().message().empty());

  options.kind = "auto";
  Fallback fallback;
  const auto backend = create_backend(options, &fallback);
  ASSERT_TRUE(backend.ok());
  EXPECT_EQ((*backend)->kind(), "cpu");
  EXPECT_EQ(fallback.cause, cuda.status().message());
  EXPECT_FALSE(fallback.gpu_found);
}

TEST(CreateBackend, RefusesALevelTheProcessorLacks) {
  if (detect_cpu_level() == CpuLevel::kAvx512) GTEST_SKIP() << "this processor runs every level";
  BackendOptions options;
  options.kind = "cpu";
  options.level = CpuLevel::kAvx512;
  EXPECT_EQ(create_backend(options, nullptr).status().reason(), "cpu_level_unsupported");
}

TEST(CpuBackend, DescribesLevelAndThreads) {
  const std::string text = cpu_backend()->description();
  EXPECT_THAT(text, ::testing::HasSubstr(std::string(cpu_level_name(detect_cpu_level()))));
  EXPECT_THAT(text, ::testing::HasSubstr("2 threads"));
}

TEST(CpuBackend, GivesZeroedAlignedMemoryWithinItsBudget) {
  const auto backend = cpu_backend(1000);
  const Buffer first = backend->allocate(600).value();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first.data) % 64, 0u);
  EXPECT_TRUE(
      std::all_of(first.data, first.data + 600, [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_EQ(backend->allocated_bytes(), 600u);

  const auto refused = backend->allocate(401);
  EXPECT_EQ(refused.status().code(), Code::kExhausted);
  EXPECT_EQ(refused.status().reason(), "backend_memory");
  const Buffer second = backend->allocate(400).value();
  EXPECT_NE(first.data, second.data);

  backend->release(first);
  EXPECT_EQ(backend->allocated_bytes(), 400u);
  EXPECT_TRUE(backend->allocate(600).ok());
  EXPECT_FALSE(backend->allocate(SIZE_MAX).ok());
}

TEST(CpuBackend, CopiesAndZeroes) {
  const auto backend = cpu_backend();
  const Buffer buffer = backend->allocate(8).value();
  const std::uint64_t value = 0x0123456789abcdef;
  backend->upload(buffer.data, object_bytes(value), Stream::kCopy);
  const Event copied = backend->record(Stream::kCopy);
  backend->wait_on(Stream::kCompute, copied);
  backend->wait(copied);
  EXPECT_TRUE(backend->done(copied));
  std::uint64_t back = 0;
  backend->download(std::as_writable_bytes(std::span(&back, 1)), buffer.data, Stream::kCompute);
  EXPECT_EQ(back, value);
  backend->fill_zero(buffer.data, 4, Stream::kCompute);
  EXPECT_EQ(*buffer.as<std::uint64_t>(), 0x0123456700000000u);
}

TEST(CpuBackendDeathTest, DiesOnABufferOfSomeoneElse) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto backend = cpu_backend();
  std::byte alien{};
  EXPECT_DEATH(backend->release({&alien, 1}), "entries_");
}

TEST(CpuBackendDeathTest, DiesWhenNothingIsKept) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto backend = cpu_backend();
  const float value = 1;
  const std::byte* rows[] = {reinterpret_cast<const std::byte*>(&value)};
  std::int64_t target = 0;
  const KeptSumJob job{{{Codec::kF32, 0}, 1, rows, {}}, 1, 0, 40, &target};
  EXPECT_DEATH(backend->kept_sum(job, Stream::kCompute), "low");
}

TEST(CpuBackendDeathTest, DiesOnCountsOfCodesThatCannotBeCounted) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto backend = cpu_backend();
  const float value = 1;
  const std::byte* rows[] = {reinterpret_cast<const std::byte*>(&value)};
  std::uint32_t counters[256] = {};
  EXPECT_EQ(count_bytes(Codec::kF32), 0u);
  EXPECT_DEATH(backend->count({{{Codec::kF32, 0}, 1, rows, {}}, counters}, Stream::kCompute),
               "count_bins");
}

TEST(CpuBackend, NeedsScratchThatIsSmallBesideTheCohort) {
  const auto backend = cpu_backend();  // two workers
  for (const std::size_t d : {1, 100, 65'536}) {
    for (const std::size_t n : {1000, 10'000}) {
      EXPECT_LT(backend->scratch_bytes(n, d), std::size_t{2} * 4 << 20) << d;
      EXPECT_LT(backend->kept_sum_scratch_bytes(n, d), std::size_t{2} * 8 << 20) << d;
    }
  }
  // What no rule can do without does not grow to more than the books of a chunk.
  EXPECT_LT(backend->scratch_bytes(1'000'000, 4096), std::size_t{64} * 1'000'000);
  // Window sums keep the columns of a tile, before and after mixing, as i64: 512 bytes a row.
  EXPECT_EQ(backend->window_sum_scratch_bytes(1'000'000), std::size_t{2} * 1'000'000 * 512);
}

TEST(CpuBackend, TakesEmptyJobs) {
  const auto backend = cpu_backend();
  const Codes none{{Codec::kF32, 0}, 0, {}, {}};
  backend->inspect({none, 16, {}}, Stream::kCompute);
  backend->accumulate({none, {}, {}, 40, nullptr}, Stream::kCompute);
  backend->count({{{Codec::kI8S, 8}, 0, {}, {}}, nullptr}, Stream::kCompute);
  backend->kept_sum_of_counts({{Codec::kI8S, 8}, 0, {}, nullptr, 1, 0, 0, 40, nullptr},
                              Stream::kCompute);
  backend->gram({none, nullptr, nullptr}, Stream::kCompute);
  backend->pair_distances({none, {}, {}}, Stream::kCompute);
  EXPECT_GT(backend->scratch_bytes(100, 65'536), 0u);
}

}  // namespace
}  // namespace muster::kernels
