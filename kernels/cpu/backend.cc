#include "kernels/cpu/backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/limits.h"
#include "kernels/cpu/expand.h"
#include "kernels/cpu/level.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/topk.h"
#include "kernels/cpu/workers.h"

namespace muster::kernels {
namespace {

static_assert(static_cast<int>(Codec::kF32) == static_cast<int>(cell::Coding::kF32));
static_assert(static_cast<int>(Codec::kF16) == static_cast<int>(cell::Coding::kF16));
static_assert(static_cast<int>(Codec::kBF16) == static_cast<int>(cell::Coding::kBF16));
static_assert(static_cast<int>(Codec::kI8B) == static_cast<int>(cell::Coding::kI8B));
static_assert(static_cast<int>(Codec::kI8S) == static_cast<int>(cell::Coding::kI8S));
static_assert(static_cast<int>(Codec::kI4B) == static_cast<int>(cell::Coding::kI4B));
static_assert(static_cast<int>(Codec::kI4S) == static_cast<int>(cell::Coding::kI4S));
static_assert(static_cast<int>(Codec::kSign1) == static_cast<int>(cell::Coding::kSign1));
static_assert(static_cast<int>(Codec::kHsq) == static_cast<int>(cell::Coding::kHsq));

static_assert(kEstimateBlock == canonical::kEstimateDepth);
static_assert(kEstimateError >=
              static_cast<double>(canonical::kEstimateChain +
                                  canonical::kEstimateDepth / canonical::kEstimateChain + 8) *
                  0x1p-24);

/// Least work worth waking a thread for, in coordinates of one row.
constexpr std::size_t kGrainCoordinates = 65'536;
/// Shares of a coordinate range begin at multiples of this: whole cache lines of every operand.
constexpr std::size_t kCoordinateUnit = 64;
/// Pairs measured by one unit of work.
constexpr std::size_t kPairGroup = 16;
/// Rows that share one conversion of the reference of relate().
constexpr std::size_t kRelatedRows = 16;
/// Of TOPK rows that are worth folding as they were sent: with more values hardly a cache line of
/// the sums is left alone, and then they had better come in order.
constexpr std::uint32_t kFoldedShare = kWholeShare / 16;
/// The histograms that are there today.
constexpr std::size_t kCountBins = 256;
/// A kept sum counts rows in this many.
constexpr std::size_t kKeptSumRows = std::size_t{1} << 24;

class CpuBackend final : public Backend {
 public:
  CpuBackend(const LevelKernels& kernels, CpuLevel level, std::size_t threads,
             std::size_t memory_bytes)
      : kernels_(*kernels.table),
        extensions_(kernels.extensions),
        level_(level),
        workers_(threads),
        scratch_(threads),
        buffers_(memory_bytes) {}

  std::string_view kind() const override { return "cpu"; }
  std::string description() const override {
    return fmt::format("cpu, {}{}, {} thread{}", cpu_level_name(level_), extensions_,
                       workers_.count(), workers_.count() == 1 ? "" : "s");
  }
  bool host_visible() const override { return true; }

  Result<Buffer> allocate(std::size_t bytes) override { return buffers_.allocate(bytes); }
  Result<Buffer> allocate_host(std::size_t bytes) override { return allocate(bytes); }
  void release(Buffer buffer) override { buffers_.release(buffer); }
  std::size_t allocated_bytes() const override { return buffers_.allocated_bytes(); }

  void upload(std::byte* target, ConstBytes source, Stream) override {
    if (!source.empty()) std::memcpy(target, source.data(), source.size());
  }
  void download(MutableBytes target, const std::byte* source, Stream) override {
    if (!target.empty()) std::memcpy(target.data(), source, target.size());
  }
  void fill_zero(std::byte* target, std::size_t bytes, Stream) override {
    if (bytes != 0) std::memset(target, 0, bytes);
  }

  Event record(Stream) override { return {}; }
  bool done(Event) override { return true; }
  void wait(Event) override {}
  void wait_on(Stream, Event) override {}

  void inspect(const InspectJob& job, Stream stream) override;
  void accumulate(const AccumulateJob& job, Stream stream) override;
  void kept_sum(const KeptSumJob& job, Stream stream) override;
  bool bounds_kept_sums(Codec codec) const override { return codec == Codec::kF32; }
  void window_sum(const WindowSumJob& job, Stream stream) override;
  void count(const CountJob& job, Stream stream) override;
  void kept_sum_of_counts(const KeptSumOfCountsJob& job, Stream stream) override;
  void gram(const GramJob& job, Stream stream) override;
  void estimate_gram(const GramJob& job, Stream stream) override;
  bool estimates_gram(Codec codec) const override {
    return kernels_.estimate_gram != nullptr && holds_floats(codec);
  }
  void pair_distances(const PairDistanceJob& job, Stream stream) override;
  void expand(const ExpandJob& job, Stream) override {
    kernels::expand({kernels_, workers_, scratch_}, job);
  }
  bool folds_topk(std::uint32_t share) const override { return share <= kFoldedShare; }
  void restore(const RestoreJob& job, Stream) override {
    kernels::restore({kernels_, workers_, scratch_}, job);
  }
  void sketch(const SketchJob& job, Stream stream) override;
  void step(const StepJob& job, Stream stream) override;
  void relate(const RelateJob& job, Stream stream) override;
  void vote(const VoteJob& job, Stream stream) override;
  void merge(const MergeJob& job, Stream stream) override;
  void elect(std::int64_t* target, std::size_t d, Stream stream) override;
  void grid_norms(const GridNormJob& job, Stream stream) override;
  void add_noise(const NoiseJob& job, Stream stream) override;

  std::size_t scratch_bytes(std::size_t n, std::size_t d) const override;
  std::size_t kept_sum_scratch_bytes(std::size_t n, std::size_t d) const override;
  std::size_t window_sum_scratch_bytes(std::size_t n) const override;

 private:
  ChunkView view(const Codes& codes);
  /// factors_ = factors * 2^grid_bits.
  void scale_factors(std::span<const double> factors, int grid_bits);
  /// Shares of [0, d) whose ends are multiples of kCoordinateUnit; `cost` rows pass each
  /// coordinate.
  template <class Task>
  void split_coordinates(std::size_t d, std::size_t cost, const Task& task);

  const KernelTable& kernels_;
  std::string_view extensions_;
  CpuLevel level_;
  Workers workers_;
  std::vector<Scratch> scratch_;  ///< one a worker
  HostBuffers buffers_;
  // Reused from call to call.
  std::vector<float> shared_scales_;
  std::vector<double> factors_;
  std::vector<MixView> stages_;
  std::vector<BlockSummary> summaries_;
  std::vector<double> partials_;
};

ChunkView CpuBackend::view(const Codes& codes) {
  MUSTER_CHECK_OP(codes.format.log2_block, <, 32);
  MUSTER_CHECK(!needs_expansion(codes.format.codec) && codes.format.codec != Codec::kRandK);
  if (has_shared_scales(codes.format.codec)) {
    const std::size_t block = std::size_t{1} << codes.format.log2_block;
    const std::size_t blocks = divide_up(codes.d, block);
    MUSTER_CHECK_OP(codes.scale_exponents.size(), >=, blocks);
    shared_scales_.resize(blocks);
    for (std::size_t b = 0; b < blocks; ++b)
      shared_scales_[b] = cell::power_of_two(codes.scale_exponents[b]);
  }
  return {static_cast<cell::Coding>(codes.format.codec),
          codes.format.log2_block,
          codes.d,
          codes.n(),
          codes.rows.data(),
          shared_scales_.data(),
          codes.scale_exponents.data(),
          codes.format.bits};
}

template <class Task>
void CpuBackend::split_coordinates(std::size_t d, std::size_t cost, const Task& task) {
  const std::size_t grain = kGrainCoordinates / kCoordinateUnit / std::max<std::size_t>(cost, 1);
  workers_.run(divide_up(d, kCoordinateUnit), grain,
               [&](std::size_t begin, std::size_t end, std::size_t worker) {
                 task(begin * kCoordinateUnit, std::min(end * kCoordinateUnit, d), worker);
               });
}

void CpuBackend::scale_factors(std::span<const double> factors, int grid_bits) {
  factors_.clear();
  for (const double factor : factors) {
    factors_.push_back(std::ldexp(factor, grid_bits));
    MUSTER_CHECK(std::isfinite(factors_.back()));
  }
}

void CpuBackend::inspect(const InspectJob& job, Stream stream) {
  MUSTER_CHECK_OP(job.summaries.size(), ==, job.codes.n());
  MUSTER_CHECK(job.value_bound >= 0);
  if (job.codes.format.codec == Codec::kTopK) {
    for (std::size_t i = 0; i < job.codes.n(); ++i) {
      const TopKRow row(job.codes.rows[i], job.codes.format, job.codes.d);
      inspect({row.values(), job.value_bound, job.summaries.subspan(i, 1), false}, stream);
      if (job.norms) job.summaries[i].squared_norm = row.squared_norm();
    }
    return;
  }
  const ChunkView codes = view(job.codes);
  const std::size_t blocks = canonical::block_count(codes.d);
  summaries_.resize(codes.n * blocks);
  workers_.run(summaries_.size(), kGrainCoordinates / canonical::kBlock,
               [&](std::size_t begin, std::size_t end, std::size_t) {
                 for (std::size_t unit = begin; unit < end; ++unit)
                   kernels_.inspect(codes, job.value_bound, job.norms, unit / blocks, unit % blocks,
                                    &summaries_[unit]);
               });
  for (std::size_t row = 0; row < codes.n; ++row) {
    RowSummary total;
    for (std::size_t block = 0; block < blocks; ++block) {
      const BlockSummary& part = summaries_[row * blocks + block];
      total.squared_norm += part.squared_norm;
      total.non_finite += part.non_finite;
      total.out_of_bound += part.out_of_bound;
    }
    job.summaries[row] = total;
  }
}

void CpuBackend::accumulate(const AccumulateJob& job, Stream) {
  MUSTER_CHECK_OP(job.factors.size(), ==, job.codes.n());
  MUSTER_CHECK_OP(job.weights.size(), ==, job.codes.n());
  scale_factors(job.factors, job.grid_bits);
  if (job.codes.format.codec == Codec::kTopK) {
    const Codes& sent = job.codes;
    // Every share reads the coordinates of all rows up to its end.
    const std::size_t cost = divide_up(sent.n() * kept_count(sent.format, sent.d), sent.d);
    return split_coordinates(sent.d, cost, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t row = 0; row < sent.n(); ++row)
        TopKRow(sent.rows[row], sent.format, sent.d)
            .accumulate(kernels_, factors_[row], job.weights[row], begin, end, job.target);
    });
  }
  const ChunkView codes = view(job.codes);
  const AccumulateView target{factors_.data(), job.weights.data(), job.target};
  split_coordinates(codes.d, codes.n, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.accumulate(codes, target, begin, end);
  });
}

void CpuBackend::kept_sum(const KeptSumJob& job, Stream) {
  MUSTER_CHECK_OP(std::uint64_t{job.low} + job.high, <, job.codes.n());
  MUSTER_CHECK_OP(job.codes.n(), <, kKeptSumRows);
  const ChunkView codes = view(job.codes);
  MUSTER_CHECK(job.beyond == nullptr || bounds_kept_sums(job.codes.format.codec));
  KeptSumView kept{job.low, job.high, job.grid_bits, std::ldexp(1.0, job.grid_bits), job.target};
  if (job.beyond != nullptr)
    kept.most_bits = cell::magnitude_bits(std::min(job.bound, std::numeric_limits<float>::max()));
  const std::size_t scratch = kernels_.kept_sum_scratch(codes.coding, codes.n, codes.d);
  std::atomic<bool> beyond = false;
  split_coordinates(codes.d, codes.n, [&](std::size_t begin, std::size_t end, std::size_t worker) {
    if (!kernels_.kept_sum(codes, kept, begin, end, scratch_[worker].reserve(scratch)))
      beyond = true;
  });
  if (job.beyond != nullptr) *job.beyond = beyond;
}

void CpuBackend::count(const CountJob& job, Stream) {
  MUSTER_CHECK_OP(count_bins(job.codes.format.codec), ==, kCountBins);
  const ChunkView codes = view(job.codes);
  split_coordinates(codes.d, codes.n, [&](std::size_t begin, std::size_t end, std::size_t worker) {
    kernels_.count(codes, job.counters, begin, end, scratch_[worker].reserve(kCountScratchBytes));
  });
}

void CpuBackend::kept_sum_of_counts(const KeptSumOfCountsJob& job, Stream) {
  MUSTER_CHECK_OP(count_bins(job.format.codec), ==, kCountBins);
  MUSTER_CHECK_OP(std::uint64_t{job.low} + job.high, <, job.n);
  MUSTER_CHECK_OP(job.scale_exponents.size(), >=,
                  divide_up(job.d, std::size_t{1} << job.format.log2_block));
  const CountsView counts{job.format.log2_block, job.n, job.counters, job.scale_exponents.data()};
  const KeptSumView kept{job.low, job.high, job.grid_bits, std::ldexp(1.0, job.grid_bits),
                         job.target};
  split_coordinates(job.d, kCountBins, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.kept_sum_of_counts(counts, kept, begin, end);
  });
}

void CpuBackend::window_sum(const WindowSumJob& job, Stream) {
  const ChunkView codes = view(job.codes);
  MUSTER_CHECK(job.factors.empty() || job.factors.size() == codes.n);
  factors_.assign(codes.n, std::ldexp(1.0, job.grid_bits));
  for (std::size_t row = 0; row < job.factors.size(); ++row)
    factors_[row] = std::ldexp(job.factors[row], job.grid_bits);

  stages_.clear();
  std::size_t n = codes.n, capacity = codes.n;
  for (const MixStage& stage : job.stages) {
    for (const std::uint32_t member : stage.members) MUSTER_CHECK_OP(member, <, n);
    for (std::size_t row = 0; row < stage.n(); ++row) {
      const std::size_t listed = stage.bounds[row + 1] - stage.bounds[row];
      MUSTER_CHECK(stage.except ? listed < n : listed > 0);
    }
    stages_.push_back({stage.bounds.data(), stage.members.data(), stage.n(), stage.except});
    n = stage.n();
    capacity = std::max(capacity, n);
  }
  MUSTER_CHECK_OP(std::uint64_t{job.low} + job.high, <, n);
  MUSTER_CHECK_OP(std::size_t{job.keep}, <=, n);
  const WindowView window{factors_.data(), stages_.data(), stages_.size(), capacity,
                          job.low,         job.high,       job.keep,       job.target};
  workers_.run(divide_up(codes.d, kWindowColumns), kGrainCoordinates / kWindowColumns / codes.n,
               [&](std::size_t begin, std::size_t end, std::size_t worker) {
                 kernels_.window_sum(codes, window, begin, end,
                                     scratch_[worker].reserve(window_scratch_bytes(capacity)));
               });
}

void CpuBackend::gram(const GramJob& job, Stream) {
  MUSTER_CHECK_OP(job.rows, <=, job.codes.n());
  const ChunkView codes = view(job.codes);
  const GramView gram{job.centre, job.gram, job.rows != 0 ? job.rows : codes.n};
  workers_.run(gram_tiles(codes.n, gram.rows, gram_tile(codes.n)), 1,
               [&](std::size_t begin, std::size_t end, std::size_t worker) {
                 kernels_.gram(codes, gram, begin, end,
                               scratch_[worker].reserve(kGramScratchBytes));
               });
}

void CpuBackend::estimate_gram(const GramJob& job, Stream stream) {
  if (!estimates_gram(job.codes.format.codec)) return gram(job, stream);
  MUSTER_CHECK_OP(job.rows, ==, 0u);
  const ChunkView codes = view(job.codes);
  const GramView gram{job.centre, job.gram, codes.n};
  workers_.run(gram_tiles(codes.n, codes.n, kEstimateTile), 1,
               [&](std::size_t begin, std::size_t end, std::size_t worker) {
                 kernels_.estimate_gram(codes, gram, begin, end,
                                        scratch_[worker].reserve(kGramScratchBytes));
               });
}

void CpuBackend::pair_distances(const PairDistanceJob& job, Stream) {
  MUSTER_CHECK_OP(job.pairs.size(), ==, 2 * job.distances.size());
  for (const std::uint32_t row : job.pairs) MUSTER_CHECK_OP(row, <, job.codes.n());
  const ChunkView codes = view(job.codes);
  const std::size_t blocks = canonical::block_count(codes.d);
  const std::size_t count = job.distances.size();
  partials_.resize(count * blocks);
  // Block by block: what several pairs read of a row stays in the cache.
  const std::size_t groups = divide_up(count, kPairGroup);
  workers_.run(blocks * groups, kGrainCoordinates / canonical::kBlock / kPairGroup,
               [&](std::size_t begin, std::size_t end, std::size_t) {
                 for (std::size_t unit = begin; unit < end; ++unit) {
                   const std::size_t block = unit / groups, first = unit % groups * kPairGroup;
                   kernels_.distances(codes, &job.pairs[2 * first],
                                      std::min(kPairGroup, count - first), block,
                                      &partials_[block * count + first]);
                 }
               });
  for (std::size_t block = 0; block < blocks; ++block)
    for (std::size_t pair = 0; pair < count; ++pair)
      job.distances[pair] += partials_[block * count + pair];
}

void CpuBackend::sketch(const SketchJob& job, Stream) {
  MUSTER_CHECK(job.cells >= kSketchBlock && job.cells % kSketchBlock == 0);
  const ChunkView codes = view(job.codes);
  MUSTER_CHECK(job.unit_bits >= -100 && job.unit_bits <= 100);
  const SketchView sketch{job.cells, job.signs, job.places, std::ldexp(1.0f, job.unit_bits),
                          job.target};
  const std::size_t grain = kGrainCoordinates / std::max<std::size_t>(codes.d, 1);
  workers_.run(codes.n, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.sketch(codes, sketch, begin, end);
  });
}

void CpuBackend::step(const StepJob& job, Stream) {
  MUSTER_CHECK(!has_first_moment(job.optimiser) || job.first != nullptr);
  MUSTER_CHECK(!has_second_moment(job.optimiser) || job.second != nullptr);
  const StepView step{job.sum,
                      job.model,
                      job.first,
                      job.second,
                      {job.scale, job.learning_rate, job.beta1, job.beta2, job.epsilon}};
  split_coordinates(job.d, 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    switch (job.optimiser) {
      case Optimiser::kSgd:
        return kernels_.sgd(step, begin, end);
      case Optimiser::kMomentum:
        return kernels_.momentum(step, begin, end);
      case Optimiser::kAdam:
        return kernels_.adam(step, begin, end);
      case Optimiser::kYogi:
        return kernels_.yogi(step, begin, end);
      case Optimiser::kAdagrad:
        return kernels_.adagrad(step, begin, end);
    }
  });
}

void CpuBackend::relate(const RelateJob& job, Stream) {
  const ChunkView codes = view(job.codes);
  const bool measure = !job.squared_distances.empty(), multiply = !job.dots.empty();
  if (measure) MUSTER_CHECK_OP(job.squared_distances.size(), ==, codes.n);
  if (multiply) MUSTER_CHECK_OP(job.dots.size(), ==, codes.n);
  const std::size_t blocks = canonical::block_count(codes.d), entries = codes.n * blocks;
  partials_.resize(2 * entries);
  const RelateView related{job.reference, job.scale, measure ? partials_.data() : nullptr,
                           multiply ? partials_.data() + entries : nullptr};
  const std::size_t groups = divide_up(codes.n, kRelatedRows);
  const std::size_t grain = kGrainCoordinates / canonical::kBlock / kRelatedRows;
  workers_.run(groups * blocks, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t unit = begin; unit < end; ++unit) {
      const std::size_t first = unit % groups * kRelatedRows;
      kernels_.relate(codes, related, first, std::min(first + kRelatedRows, codes.n),
                      unit / groups);
    }
  });
  for (std::size_t entry = 0; entry < entries; ++entry) {
    if (measure) job.squared_distances[entry / blocks] += partials_[entry];
    if (multiply) job.dots[entry / blocks] += partials_[entries + entry];
  }
}

void CpuBackend::vote(const VoteJob& job, Stream) {
  const ChunkView codes = view(job.codes);
  split_coordinates(codes.d, codes.n, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.vote(codes, job.target, begin, end);
  });
}

void CpuBackend::merge(const MergeJob& job, Stream) {
  const MergeView merged{job.sum, job.target, job.pull, job.divisor};
  split_coordinates(job.d, 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.merge(merged, begin, end);
  });
}

void CpuBackend::elect(std::int64_t* target, std::size_t d, Stream) {
  split_coordinates(d, 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.elect(target, begin, end);
  });
}

void CpuBackend::grid_norms(const GridNormJob& job, Stream stream) {
  MUSTER_CHECK_OP(job.factors.size(), ==, job.codes.n());
  MUSTER_CHECK_OP(job.norms.size(), ==, job.codes.n());
  if (job.codes.format.codec == Codec::kTopK) {
    MUSTER_CHECK(job.centre == nullptr);
    // Integers have no order: it does not matter where the values are.
    for (std::size_t i = 0; i < job.codes.n(); ++i) {
      const TopKRow row(job.codes.rows[i], job.codes.format, job.codes.d);
      grid_norms({.codes = row.values(),
                  .factors = job.factors.subspan(i, 1),
                  .grid_bits = job.grid_bits,
                  .norms = job.norms.subspan(i, 1)},
                 stream);
    }
    return;
  }
  const ChunkView codes = view(job.codes);
  scale_factors(job.factors, job.grid_bits);
  const GridNormView grid{factors_.data(), job.centre};
  const std::size_t blocks = canonical::block_count(codes.d);
  const std::size_t grain = kGrainCoordinates / std::max<std::size_t>(codes.d, 1);
  workers_.run(codes.n, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; ++row) {
      using Wide = unsigned __int128;
      Wide sum = job.norms[row].value();
      for (std::size_t block = 0; block < blocks; ++block) {
        SplitSquares part;
        kernels_.grid_norm(codes, grid, row, block, &part);
        sum += (Wide{part.hh} << 46) + (Wide{part.hl} << 24) + part.ll;
      }
      job.norms[row] = {static_cast<std::uint64_t>(sum), static_cast<std::uint64_t>(sum >> 64)};
    }
  });
}

void CpuBackend::add_noise(const NoiseJob& job, Stream) {
  MUSTER_CHECK(job.log2_sigma >= kMinLog2Sigma && job.log2_sigma <= kMaxLog2Sigma);
  MUSTER_CHECK(job.d <= limits::kMaxDimension && job.first <= limits::kMaxDimension - job.d);
  const NoiseView noise{job.key.data(), job.vector, job.log2_sigma,
                        job.weight,     job.first,  job.target};
  split_coordinates(job.d, 16, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.add_noise(noise, begin, end);
  });
}

std::size_t CpuBackend::scratch_bytes(std::size_t n, std::size_t d) const {
  const std::size_t worker =
      std::max({kGramScratchBytes, kRotationScratchBytes, kCountScratchBytes});
  const std::size_t blocks = canonical::block_count(d);
  return workers_.count() * worker + n * blocks * (sizeof(BlockSummary) + 2 * sizeof(double)) +
         n * sizeof(double) + d * sizeof(float);
}

std::size_t CpuBackend::kept_sum_scratch_bytes(std::size_t n, std::size_t d) const {
  std::size_t worker = 0;
  for (std::uint8_t codec = 0; codec < kCodecCount; ++codec)
    worker = std::max(worker, kernels_.kept_sum_scratch(static_cast<cell::Coding>(codec), n, d));
  return workers_.count() * worker;
}

std::size_t CpuBackend::window_sum_scratch_bytes(std::size_t n) const {
  return workers_.count() * window_scratch_bytes(n);
}

}  // namespace

Result<std::unique_ptr<Backend>> create_cpu_backend(const BackendOptions& options) {
  const LevelKernels kernels = level_kernels(options.level, options.extensions);
  if (kernels.table == nullptr || options.level > detect_cpu_level())
    return Status(Code::kInvalid, "cpu_level_unsupported",
                  fmt::format("this processor runs level {} at most, not {}",
                              cpu_level_name(detect_cpu_level()), cpu_level_name(options.level)));
  const std::size_t cores = std::max(std::thread::hardware_concurrency(), 1u);
  const std::size_t threads = options.threads != 0 ? options.threads : cores;
  return std::unique_ptr<Backend>(
      std::make_unique<CpuBackend>(kernels, options.level, threads, options.memory_bytes));
}

}  // namespace muster::kernels
