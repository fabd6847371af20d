#include "kernels/cpu/backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/level.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/workers.h"

namespace muster::kernels {
namespace {

static_assert(static_cast<int>(Codec::kF32) == static_cast<int>(cell::Coding::kF32));
static_assert(static_cast<int>(Codec::kF16) == static_cast<int>(cell::Coding::kF16));
static_assert(static_cast<int>(Codec::kBF16) == static_cast<int>(cell::Coding::kBF16));
static_assert(static_cast<int>(Codec::kI8B) == static_cast<int>(cell::Coding::kI8B));
static_assert(static_cast<int>(Codec::kI8S) == static_cast<int>(cell::Coding::kI8S));

/// Least work worth waking a thread for, in coordinates of one row.
constexpr std::size_t kGrainCoordinates = 65'536;
/// Shares of a coordinate range begin at multiples of this: whole cache lines of every operand.
constexpr std::size_t kCoordinateUnit = 64;

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
  void gram(const GramJob& job, Stream stream) override;
  void pair_distances(const PairDistanceJob& job, Stream stream) override;
  void sketch(const SketchJob& job, Stream stream) override;
  void step(const StepJob& job, Stream stream) override;

  std::size_t scratch_bytes(std::size_t n, std::size_t d) const override;

 private:
  ChunkView view(const Codes& codes);
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
  std::vector<BlockSummary> summaries_;
  std::vector<double> partials_;
};

ChunkView CpuBackend::view(const Codes& codes) {
  MUSTER_CHECK_OP(codes.format.log2_block, <, 32);
  if (codes.format.codec == Codec::kI8S) {
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
          codes.scale_exponents.data()};
}

template <class Task>
void CpuBackend::split_coordinates(std::size_t d, std::size_t cost, const Task& task) {
  const std::size_t grain = kGrainCoordinates / kCoordinateUnit / std::max<std::size_t>(cost, 1);
  workers_.run(divide_up(d, kCoordinateUnit), grain,
               [&](std::size_t begin, std::size_t end, std::size_t worker) {
                 task(begin * kCoordinateUnit, std::min(end * kCoordinateUnit, d), worker);
               });
}

void CpuBackend::inspect(const InspectJob& job, Stream) {
  MUSTER_CHECK_OP(job.summaries.size(), ==, job.codes.n());
  MUSTER_CHECK(job.value_bound >= 0);
  const ChunkView codes = view(job.codes);
  const std::size_t blocks = canonical::block_count(codes.d);
  summaries_.resize(codes.n * blocks);
  workers_.run(summaries_.size(), kGrainCoordinates / canonical::kBlock,
               [&](std::size_t begin, std::size_t end, std::size_t) {
                 for (std::size_t unit = begin; unit < end; ++unit)
                   kernels_.inspect(codes, job.value_bound, unit / blocks, unit % blocks,
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
  const ChunkView codes = view(job.codes);
  factors_.resize(codes.n);
  for (std::size_t row = 0; row < codes.n; ++row) {
    factors_[row] = std::ldexp(job.factors[row], job.grid_bits);
    MUSTER_CHECK(std::isfinite(factors_[row]));
  }
  const AccumulateView target{factors_.data(), job.weights.data(), job.target};
  split_coordinates(codes.d, codes.n, [&](std::size_t begin, std::size_t end, std::size_t) {
    kernels_.accumulate(codes, target, begin, end);
  });
}

void CpuBackend::kept_sum(const KeptSumJob& job, Stream) {
  MUSTER_CHECK_OP(std::uint64_t{job.low} + job.high, <, job.codes.n());
  const ChunkView codes = view(job.codes);
  const KeptSumView kept{job.low, job.high, job.grid_bits, std::ldexp(1.0, job.grid_bits),
                         job.target};
  const std::size_t grain = kGrainCoordinates / kColumnTile / codes.n;
  workers_.run(divide_up(codes.d, kColumnTile), grain,
               [&](std::size_t begin, std::size_t end, std::size_t worker) {
                 kernels_.kept_sum(codes, kept, begin, end,
                                   scratch_[worker].reserve(kept_sum_scratch_bytes(codes.n)));
               });
}

void CpuBackend::gram(const GramJob& job, Stream) {
  MUSTER_CHECK_OP(job.rows, <=, job.codes.n());
  const ChunkView codes = view(job.codes);
  const GramView gram{job.centre, job.gram, job.rows != 0 ? job.rows : codes.n};
  workers_.run(gram_tiles(codes.n, gram.rows), 1,
               [&](std::size_t begin, std::size_t end, std::size_t worker) {
                 kernels_.gram(codes, gram, begin, end,
                               scratch_[worker].reserve(kGramScratchBytes));
               });
}

void CpuBackend::pair_distances(const PairDistanceJob& job, Stream) {
  MUSTER_CHECK_OP(job.pairs.size(), ==, 2 * job.distances.size());
  for (const std::uint32_t row : job.pairs) MUSTER_CHECK_OP(row, <, job.codes.n());
  const ChunkView codes = view(job.codes);
  const std::size_t blocks = canonical::block_count(codes.d);
  partials_.resize(job.distances.size() * blocks);
  workers_.run(partials_.size(), kGrainCoordinates / canonical::kBlock,
               [&](std::size_t begin, std::size_t end, std::size_t) {
                 for (std::size_t unit = begin; unit < end; ++unit) {
                   const std::size_t pair = unit / blocks;
                   partials_[unit] = kernels_.distance(codes, job.pairs[2 * pair],
                                                       job.pairs[2 * pair + 1], unit % blocks);
                 }
               });
  for (std::size_t unit = 0; unit < partials_.size(); ++unit)
    job.distances[unit / blocks] += partials_[unit];
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
  MUSTER_CHECK(job.optimiser == Optimiser::kSgd || job.first != nullptr);
  MUSTER_CHECK(job.optimiser != Optimiser::kAdam || job.second != nullptr);
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
    }
  });
}

std::size_t CpuBackend::scratch_bytes(std::size_t n, std::size_t d) const {
  const std::size_t worker = std::max(kept_sum_scratch_bytes(n), kGramScratchBytes);
  const std::size_t blocks = canonical::block_count(d);
  return workers_.count() * worker + n * blocks * sizeof(BlockSummary) + n * sizeof(double) +
         d * sizeof(float);
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
