// The backend as the metrics see it: passes every call on, and counts time, bytes and memory.
#pragma once

#include <array>
#include <string>

#include "base/stats.h"
#include "kernels/backend.h"

namespace muster::server {

/// As the Backend it wraps, which outlives it. Also shows what computes: muster_backend_info.
class MeteredBackend final : public kernels::Backend {
 public:
  MeteredBackend(kernels::Backend& inner, Stats& stats);

  std::string_view kind() const override { return inner_.kind(); }
  std::string description() const override { return inner_.description(); }
  bool host_visible() const override { return inner_.host_visible(); }
  bool folds_topk(std::uint32_t share) const override { return inner_.folds_topk(share); }
  Result<kernels::Buffer> allocate(std::size_t bytes) override;
  Result<kernels::Buffer> allocate_by_chunk(std::size_t bytes, std::size_t piece_bytes) override;
  Result<kernels::Buffer> allocate_host(std::size_t bytes) override;
  void release(kernels::Buffer buffer) override;
  std::size_t allocated_bytes() const override { return inner_.allocated_bytes(); }

  void upload(std::byte* target, ConstBytes source, kernels::Stream stream) override;
  void download(MutableBytes target, const std::byte* source, kernels::Stream stream) override;
  void fill_zero(std::byte* target, std::size_t bytes, kernels::Stream stream) override;
  kernels::Event record(kernels::Stream stream) override { return inner_.record(stream); }
  bool done(kernels::Event event) override { return inner_.done(event); }
  void wait(kernels::Event event) override;
  void wait_on(kernels::Stream stream, kernels::Event event) override {
    inner_.wait_on(stream, event);
  }

  void inspect(const kernels::InspectJob& job, kernels::Stream stream) override;
  void accumulate(const kernels::AccumulateJob& job, kernels::Stream stream) override;
  void kept_sum(const kernels::KeptSumJob& job, kernels::Stream stream) override;
  bool bounds_kept_sums(Codec codec) const override { return inner_.bounds_kept_sums(codec); }
  void window_sum(const kernels::WindowSumJob& job, kernels::Stream stream) override;
  void count(const kernels::CountJob& job, kernels::Stream stream) override;
  void kept_sum_of_counts(const kernels::KeptSumOfCountsJob& job, kernels::Stream stream) override;
  void gram(const kernels::GramJob& job, kernels::Stream stream) override;
  void estimate_gram(const kernels::GramJob& job, kernels::Stream stream) override;
  bool estimates_gram(Codec codec) const override { return inner_.estimates_gram(codec); }
  void pair_distances(const kernels::PairDistanceJob& job, kernels::Stream stream) override;
  void expand(const kernels::ExpandJob& job, kernels::Stream stream) override;
  void restore(const kernels::RestoreJob& job, kernels::Stream stream) override;
  void sketch(const kernels::SketchJob& job, kernels::Stream stream) override;
  void step(const kernels::StepJob& job, kernels::Stream stream) override;
  void relate(const kernels::RelateJob& job, kernels::Stream stream) override;
  void vote(const kernels::VoteJob& job, kernels::Stream stream) override;
  void merge(const kernels::MergeJob& job, kernels::Stream stream) override;
  void elect(std::int64_t* target, std::size_t d, kernels::Stream stream) override;
  void grid_norms(const kernels::GridNormJob& job, kernels::Stream stream) override;
  void add_noise(const kernels::NoiseJob& job, kernels::Stream stream) override;

  std::size_t scratch_bytes(std::size_t n, std::size_t d) const override {
    return inner_.scratch_bytes(n, d);
  }
  std::size_t kept_sum_scratch_bytes(std::size_t n, std::size_t d) const override {
    return inner_.kept_sum_scratch_bytes(n, d);
  }
  std::size_t window_sum_scratch_bytes(std::size_t n) const override {
    return inner_.window_sum_scratch_bytes(n);
  }

 private:
  /// In the order of the catalogue's values of the label "kernel"; a test compares them.
  enum Operation : std::size_t {
    kInspect,
    kAccumulate,
    kKeptSum,
    kWindowSum,
    kCount,
    kKeptSumOfCounts,
    kGram,
    kPairDistances,
    kExpand,
    kRestore,
    kSketch,
    kStep,
    kRelate,
    kVote,
    kMerge,
    kElect,
    kGridNorms,
    kAddNoise,
    kFillZero,
    kUpload,
    kDownload,
    kWait,
    kOperations
  };
  template <class Work>
  void timed(Operation operation, const Work& work);
  Result<kernels::Buffer> counted(Result<kernels::Buffer> buffer);

  kernels::Backend& inner_;
  const bool on_device_;
  std::array<Histogram*, kOperations> seconds_{};
  Counter& to_device_;
  Counter& from_device_;
  Counter& memory_errors_;
  Gauge& memory_used_;
};

/// A description ("cuda, NVIDIA H100 (sm_90, ...)", "cpu, avx2, 4 threads") in the parts that
/// muster_backend_info names.
struct BackendParts {
  std::string device, kernels;
};
BackendParts backend_parts(const std::string& description);

}  // namespace muster::server
