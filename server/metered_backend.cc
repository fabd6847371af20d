#include "server/metered_backend.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"

namespace muster::server {
namespace {

using kernels::Stream;

const MetricLabel& kernel_label() {
  for (const Metric& metric : metric_catalogue())
    if (metric.name == "muster_kernel_duration_seconds") return metric.labels[0];
  MUSTER_CHECK(false);
}

}  // namespace

BackendParts backend_parts(const std::string& description) {
  const std::size_t comma = std::min(description.find(", "), description.size());
  std::string rest = description.substr(std::min(comma + 2, description.size()));
  const std::size_t open = rest.find(" (");
  if (open != rest.npos)  // "NAME (CHIP, ...)"
    return {rest.substr(0, open), rest.substr(open + 2, rest.find_first_of(",)", open) - open - 2)};
  return {"host", rest.substr(0, rest.find(", "))};
}

MeteredBackend::MeteredBackend(kernels::Backend& inner, Stats& stats)
    : inner_(inner),
      on_device_(inner.kind() != "cpu"),
      to_device_(stats.counter("muster_copy_bytes_total", {{"direction", "to_device"}})),
      from_device_(stats.counter("muster_copy_bytes_total", {{"direction", "from_device"}})),
      memory_errors_(stats.counter("muster_gpu_errors_total", {{"class", "memory"}})),
      memory_used_(stats.gauge("muster_device_memory_used_bytes")) {
  const auto& names = kernel_label().values;
  MUSTER_CHECK_OP(names.size(), ==, std::size_t{kOperations});
  for (std::size_t i = 0; i < kOperations; ++i)
    seconds_[i] =
        &stats.histogram("muster_kernel_duration_seconds", {{"kernel", std::string(names[i])}});
  const BackendParts parts = backend_parts(inner.description());
  stats
      .gauge("muster_backend_info", {{"kind", std::string(inner.kind())},
                                     {"device", parts.device},
                                     {"kernels", parts.kernels}})
      .set(1);
  memory_used_.set(static_cast<double>(inner_.allocated_bytes()));
}

template <class Work>
void MeteredBackend::timed(Operation operation, const Work& work) {
  const SystemClock clock;
  const Nanoseconds begin = clock.now();
  work();
  seconds_[operation]->observe(static_cast<double>(clock.now() - begin) / kSecond);
}

Result<kernels::Buffer> MeteredBackend::counted(Result<kernels::Buffer> buffer) {
  if (!buffer.ok() && on_device_) memory_errors_.add();
  memory_used_.set(static_cast<double>(inner_.allocated_bytes()));
  return buffer;
}

Result<kernels::Buffer> MeteredBackend::allocate(std::size_t bytes) {
  return counted(inner_.allocate(bytes));
}
Result<kernels::Buffer> MeteredBackend::allocate_by_chunk(std::size_t bytes,
                                                          std::size_t piece_bytes) {
  return counted(inner_.allocate_by_chunk(bytes, piece_bytes));
}
Result<kernels::Buffer> MeteredBackend::allocate_host(std::size_t bytes) {
  return counted(inner_.allocate_host(bytes));
}
void MeteredBackend::release(kernels::Buffer buffer) {
  inner_.release(buffer);
  memory_used_.set(static_cast<double>(inner_.allocated_bytes()));
}

void MeteredBackend::upload(std::byte* target, ConstBytes source, Stream stream) {
  to_device_.add(source.size());
  timed(kUpload, [&] { inner_.upload(target, source, stream); });
}
void MeteredBackend::download(MutableBytes target, const std::byte* source, Stream stream) {
  from_device_.add(target.size());
  timed(kDownload, [&] { inner_.download(target, source, stream); });
}
void MeteredBackend::fill_zero(std::byte* target, std::size_t bytes, Stream stream) {
  timed(kFillZero, [&] { inner_.fill_zero(target, bytes, stream); });
}
void MeteredBackend::wait(kernels::Event event) {
  timed(kWait, [&] { inner_.wait(event); });
}
void MeteredBackend::elect(std::int64_t* target, std::size_t d, Stream stream) {
  timed(kElect, [&] { inner_.elect(target, d, stream); });
}
void MeteredBackend::inspect(const kernels::InspectJob& job, Stream stream) {
  timed(kInspect, [&] { inner_.inspect(job, stream); });
}
void MeteredBackend::accumulate(const kernels::AccumulateJob& job, Stream stream) {
  timed(kAccumulate, [&] { inner_.accumulate(job, stream); });
}
void MeteredBackend::kept_sum(const kernels::KeptSumJob& job, Stream stream) {
  timed(kKeptSum, [&] { inner_.kept_sum(job, stream); });
}
void MeteredBackend::window_sum(const kernels::WindowSumJob& job, Stream stream) {
  timed(kWindowSum, [&] { inner_.window_sum(job, stream); });
}
void MeteredBackend::count(const kernels::CountJob& job, Stream stream) {
  timed(kCount, [&] { inner_.count(job, stream); });
}
void MeteredBackend::kept_sum_of_counts(const kernels::KeptSumOfCountsJob& job, Stream stream) {
  timed(kKeptSumOfCounts, [&] { inner_.kept_sum_of_counts(job, stream); });
}
void MeteredBackend::gram(const kernels::GramJob& job, Stream stream) {
  timed(kGram, [&] { inner_.gram(job, stream); });
}
void MeteredBackend::estimate_gram(const kernels::GramJob& job, Stream stream) {
  timed(kGram, [&] { inner_.estimate_gram(job, stream); });
}
void MeteredBackend::pair_distances(const kernels::PairDistanceJob& job, Stream stream) {
  timed(kPairDistances, [&] { inner_.pair_distances(job, stream); });
}
void MeteredBackend::expand(const kernels::ExpandJob& job, Stream stream) {
  timed(kExpand, [&] { inner_.expand(job, stream); });
}
void MeteredBackend::restore(const kernels::RestoreJob& job, Stream stream) {
  timed(kRestore, [&] { inner_.restore(job, stream); });
}
void MeteredBackend::sketch(const kernels::SketchJob& job, Stream stream) {
  timed(kSketch, [&] { inner_.sketch(job, stream); });
}
void MeteredBackend::step(const kernels::StepJob& job, Stream stream) {
  timed(kStep, [&] { inner_.step(job, stream); });
}
void MeteredBackend::relate(const kernels::RelateJob& job, Stream stream) {
  timed(kRelate, [&] { inner_.relate(job, stream); });
}
void MeteredBackend::vote(const kernels::VoteJob& job, Stream stream) {
  timed(kVote, [&] { inner_.vote(job, stream); });
}
void MeteredBackend::merge(const kernels::MergeJob& job, Stream stream) {
  timed(kMerge, [&] { inner_.merge(job, stream); });
}
void MeteredBackend::grid_norms(const kernels::GridNormJob& job, Stream stream) {
  timed(kGridNorms, [&] { inner_.grid_norms(job, stream); });
}
void MeteredBackend::add_noise(const kernels::NoiseJob& job, Stream stream) {
  timed(kAddNoise, [&] { inner_.add_noise(job, stream); });
}

}  // namespace muster::server
