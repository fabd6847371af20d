// What the rules keep must not grow with the cohort where their plan says that it does not.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>

#include "robust_agg/aggregate.h"

namespace muster::robust {
namespace {

constexpr std::uint32_t kDimension = 10'000;
constexpr std::size_t kTogether = 64;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/// Peak resident bytes of a process that does this and nothing else; 0 where it fails.
std::size_t resident_bytes(const std::function<bool()>& work) {
  int ends[2];
  if (::pipe(ends) != 0) return 0;
  const pid_t child = ::fork();
  if (child == 0) {
    const bool ok = work();
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const std::size_t bytes = ok ? static_cast<std::size_t>(usage.ru_maxrss) * 1024 : 0;
    const bool told =
        ::write(ends[1], &bytes, sizeof bytes) == sizeof bytes;  // NOLINT(disk): a pipe
    std::_Exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  std::size_t bytes = 0;
  if (child < 0 || ::read(ends[0], &bytes, sizeof bytes) != sizeof bytes) bytes = 0;
  ::close(ends[0]);
  if (child > 0) ::waitpid(child, nullptr, 0);
  return bytes;
}

/// Folds `cohort` updates of one chunk into a plan made for a million.
bool fold(const Rule& rule, std::uint32_t cohort) {
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  const auto backend = kernels::create_backend(options, nullptr).value();
  PlanRequest request;
  request.rule = rule;
  request.dimension = request.chunk_coordinates = kDimension;
  request.chunk_coordinates = 10'240;
  request.format.codec = Codec::kI8S;
  request.format.log2_block = 8;
  request.max_updates = 1'000'000;
  request.minimum_cohort = 1'000;
  const auto plan = make_plan(request, *backend);
  if (!plan.ok() || !plan->streaming) return false;
  const auto sum = backend->allocate(plan->rule_dimension * sizeof(std::int64_t)).value();
  const auto counters = backend->allocate(plan->counter_bytes).value();
  RowFold folding(*backend, *plan, sum.as<std::int64_t>(), nullptr, counters.as<std::uint32_t>());
  std::mt19937 random(cohort);
  std::vector<std::byte> codes(kTogether * plan->row_pitch);
  for (std::byte& code : codes)
    code = static_cast<std::byte>(static_cast<int>(random() % 255) - 127);
  std::vector<const std::byte*> rows;
  for (std::size_t i = 0; i < kTogether; ++i) rows.push_back(codes.data() + i * plan->row_pitch);
  const std::vector<std::int8_t> exponents(40, -10);
  const std::vector<std::uint32_t> weights(kTogether, 1);
  const kernels::Codes chunk{request.format, kDimension, rows, exponents};
  for (std::uint32_t done = 0; done + kTogether <= cohort; done += kTogether)
    folding.add({&chunk, 1}, weights);
  return std::move(folding).finish().ok();
}

/// Rows of a million updates, their codes read a shard at a time, as from a spool. What a server
/// keeps of an update beside its codes (docs/rules.md) is there for the whole million in any case.
class SpooledCohort final : public Cohort {
 public:
  SpooledCohort(const Plan& plan, std::uint32_t size)
      : plan_(plan),
        size_(size),
        weights_(plan.request.max_updates, 1),
        ranks_(plan.request.max_updates),
        pool_(kPool * plan.row_pitch),
        read_(plan.rows_at_once() * plan.row_pitch) {
    std::mt19937 random(5);
    for (std::size_t i = 0; i < ranks_.size(); ++i) ranks_[i] = (std::uint64_t{random()} << 32) + i;
    for (std::byte& code : pool_)
      code = static_cast<std::byte>(static_cast<int>(random() % 255) - 127);
  }
  std::uint32_t size() const override { return size_; }
  std::span<const std::uint32_t> weights() const override {
    return std::span(weights_).first(size_);
  }
  std::span<const std::uint64_t> ranks() const override { return std::span(ranks_).first(size_); }
  SketchKey sketch_key() const override { return {1, 2}; }
  Result<kernels::Codes> chunk(std::uint32_t) override {
    return Status(Code::kInternal, "whole_cohort", "a sharded rule asked for all rows at once");
  }
  Result<kernels::Codes> chunk_of(std::uint32_t, std::span<const std::uint32_t> rows) override {
    rows_.clear();
    for (const std::uint32_t row : rows) {
      std::byte* const target = read_.data() + rows_.size() * plan_.row_pitch;
      std::memcpy(target, pool_.data() + row % kPool * plan_.row_pitch, plan_.row_pitch);
      std::memcpy(target + row % kDimension, &row, 1);  // most differ
      rows_.push_back(target);
    }
    return kernels::Codes{plan_.request.format, kDimension, rows_, exponents_};
  }

 private:
  static constexpr std::size_t kPool = 61;
  const Plan& plan_;
  const std::uint32_t size_;
  std::vector<std::uint32_t> weights_;
  std::vector<std::uint64_t> ranks_;
  std::vector<std::byte> pool_, read_;
  std::vector<const std::byte*> rows_;
  const std::vector<std::int8_t> exponents_ = std::vector<std::int8_t>(40, -10);
};

/// Runs a Gram rule in shards on `cohort` updates, with a plan made for a million.
bool run_in_shards(const Rule& rule, std::uint32_t cohort) {
  kernels::BackendOptions options;
  options.kind = "cpu";
  options.threads = 1;
  const auto backend = kernels::create_backend(options, nullptr).value();
  PlanRequest request;
  request.rule = rule;
  request.sharding = Sharding{256, 0.05};
  request.dimension = kDimension;
  request.chunk_coordinates = 10'240;
  request.format = {Codec::kI8S, 8};
  request.max_updates = 1'000'000;
  request.minimum_cohort = 1'000;
  request.memory_budget = 64 << 20;  // so that nothing of all updates is kept
  const auto plan = make_plan(request, *backend);
  if (!plan.ok() || plan->resident || plan->sketched_on_arrival) return false;
  const auto sum = backend->allocate(plan->rule_dimension * sizeof(std::int64_t)).value();
  SpooledCohort rows(*plan, cohort);
  return aggregate(*plan, *backend, rows, sum.as<std::int64_t>()).ok();
}

/// MUSTER_COHORT=1000000 for the whole distance.
std::uint32_t large_cohort(std::uint32_t without_wish) {
  const char* const wish = std::getenv("MUSTER_COHORT");
  return wish != nullptr ? static_cast<std::uint32_t>(std::atoi(wish)) : without_wish;
}

TEST(Memory, DoesNotGrowWithTheCohort) {
  if (kSanitized) GTEST_SKIP() << "sanitizers keep books of their own";
  const std::uint32_t large = large_cohort(100'000);
  for (const Rule& rule : {Rule(Mean{}), Rule(TrimmedMean{{std::nullopt, 0.1}}), Rule(Median{})}) {
    const std::size_t few = resident_bytes([&] { return fold(rule, 10'000); });
    const std::size_t many = resident_bytes([&] { return fold(rule, large); });
    ASSERT_GT(few, 0u) << to_string(rule);
    ASSERT_GT(many, 0u) << to_string(rule);
    EXPECT_LE(static_cast<double>(many), 1.1 * static_cast<double>(few)) << to_string(rule);
    GTEST_LOG_(INFO) << to_string(rule) << ": " << few / 1024 << " KiB for 10000 updates, "
                     << many / 1024 << " KiB for " << large;
  }
}

/// Nor do shards, but for a bit a row: which were selected.
TEST(Memory, OfGramRulesInShardsDoesNotGrowWithTheCohort) {
  if (kSanitized) GTEST_SKIP() << "sanitizers keep books of their own";
  constexpr auto kNeighbours = Neighbours::kNMinusFMinus2;
  constexpr std::uint32_t kSelected = 100;  // of each shard
  const std::uint32_t large = large_cohort(50'000);
  for (const Rule& rule :
       {Rule(MultiKrum{{}, kSelected}), Rule(Krum{{}, kNeighbours, Scores::kSketched})}) {
    const std::size_t few = resident_bytes([&] { return run_in_shards(rule, 10'000); });
    const std::size_t many = resident_bytes([&] { return run_in_shards(rule, large); });
    ASSERT_GT(few, 0u) << to_string(rule);
    ASSERT_GT(many, 0u) << to_string(rule);
    EXPECT_LE(static_cast<double>(many), 1.1 * static_cast<double>(few)) << to_string(rule);
    GTEST_LOG_(INFO) << to_string(rule) << ": " << few / 1024 << " KiB for 10000 updates, "
                     << many / 1024 << " KiB for " << large;
  }
}

}  // namespace
}  // namespace muster::robust
