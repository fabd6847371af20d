#include "kernels/cuda/backend.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/canonical.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/group.h"
#include "kernels/cuda/ops.h"

namespace muster::kernels::cuda {
namespace {

constexpr const std::byte* kNoRow = nullptr;
/// Drivers take their time to start a card and to pin memory.
constexpr double kStartSeconds = 60;

/// What the watchdog allows a job.
template <class Job>
double seconds_of(const Job& job) {
  if constexpr (requires { job.codes; })
    return allowance(job.codes);
  else
    return allowance({{}, static_cast<std::size_t>(job.d), std::span(&kNoRow, 1), {}});
}
double seconds_of(const GramJob& job) {
  const auto n = static_cast<double>(job.codes.n());
  return allowance_of_products(n * n * static_cast<double>(job.codes.d));
}
double seconds_of(const WindowSumJob& job) { return 100 * allowance(job.codes); }

class CudaBackend final : public DeviceBackend {
 public:
  CudaBackend(Device device, std::shared_ptr<Watchdog> watchdog, std::unique_ptr<Memory> memory,
              std::unique_ptr<Blas> blas, std::unique_ptr<Queue> queue)
      : device_(std::move(device)),
        watchdog_(std::move(watchdog)),
        memory_(std::move(memory)),
        blas_(std::move(blas)),
        queue_(std::move(queue)) {}
  ~CudaBackend() override {
    const Watchdog::Call call(*watchdog_);
    queue_.reset();
  }

  std::string_view kind() const override { return "cuda"; }
  std::string description() const override {
    return fmt::format("cuda, {} (sm_{}{}, {} multiprocessors, {} GiB)", device_.name,
                       device_.major, device_.minor, device_.multiprocessors,
                       device_.memory_bytes >> 30);
  }
  bool host_visible() const override { return false; }
  const Device& device() const override { return device_; }
  cudaStream_t stream(Stream stream) const override { return queue_->stream(stream); }

  Result<Buffer> allocate(std::size_t bytes) override;
  Result<Buffer> allocate_host(std::size_t bytes) override;
  void release(Buffer buffer) override { memory_->release(buffer); }
  std::size_t allocated_bytes() const override { return memory_->allocated_bytes(); }

  void upload(std::byte* target, ConstBytes source, Stream stream) override;
  void download(MutableBytes target, const std::byte* source, Stream stream) override {
    const Watchdog::Call call(*watchdog_);
    enter();
    queue_->fetch(target, source, stream);
    watchdog_->settled();
  }
  void fill_zero(std::byte* target, std::size_t bytes, Stream stream) override {
    const Watchdog::Call call(*watchdog_);
    context(stream).fill_zero(target, bytes);
  }

  Event record(Stream stream) override {
    const Watchdog::Call call(*watchdog_);
    enter();
    return last_ = queue_->record(stream);
  }
  bool done(Event event) override {
    const Watchdog::Call call(*watchdog_);
    return queue_->done(event);
  }
  void wait(Event event) override;
  void wait_on(Stream stream, Event event) override {
    const Watchdog::Call call(*watchdog_);
    enter();
    queue_->wait_on(stream, event);
  }

  void inspect(const InspectJob& job, Stream stream) override {
    run_and_wait(cuda::inspect, job, stream);
  }
  void accumulate(const AccumulateJob& job, Stream stream) override {
    run(cuda::accumulate, job, stream);
  }
  void kept_sum(const KeptSumJob& job, Stream stream) override { run(cuda::kept_sum, job, stream); }
  void window_sum(const WindowSumJob& job, Stream stream) override {
    run(cuda::window_sum, job, stream);
  }
  void count(const CountJob& job, Stream stream) override { run(cuda::count, job, stream); }
  void kept_sum_of_counts(const KeptSumOfCountsJob& job, Stream stream) override {
    run(cuda::kept_sum_of_counts, job, stream);
  }
  void gram(const GramJob& job, Stream stream) override { run(cuda::gram, job, stream); }
  void pair_distances(const PairDistanceJob& job, Stream stream) override {
    run_and_wait(cuda::pair_distances, job, stream);
  }
  void expand(const ExpandJob& job, Stream stream) override { run(cuda::expand, job, stream); }
  void restore(const RestoreJob& job, Stream stream) override { run(cuda::restore, job, stream); }
  void sketch(const SketchJob& job, Stream stream) override { run(cuda::sketch, job, stream); }
  void step(const StepJob& job, Stream stream) override { run(cuda::step, job, stream); }
  void relate(const RelateJob& job, Stream stream) override {
    run_and_wait(cuda::relate, job, stream);
  }
  void vote(const VoteJob& job, Stream stream) override { run(cuda::vote, job, stream); }
  void merge(const MergeJob& job, Stream stream) override { run(cuda::merge, job, stream); }
  void add_noise(const NoiseJob& job, Stream stream) override { run(cuda::add_noise, job, stream); }
  void grid_norms(const GridNormJob& job, Stream stream) override {
    run_and_wait(cuda::grid_norms, job, stream);
  }
  void elect(std::int64_t* target, std::size_t d, Stream stream) override {
    const Watchdog::Call call(*watchdog_);
    Context local = context(stream);
    cuda::elect(target, d, local);
  }

  std::size_t scratch_bytes(std::size_t n, std::size_t d) const override;
  std::size_t window_sum_scratch_bytes(std::size_t n) const override {
    return window_scratch_bytes(n, device_);
  }

 private:
  /// The current device belongs to the thread, and threads may change between calls.
  void enter() { MUSTER_CUDA(cudaSetDevice(device_.ordinal)); }
  Context context(Stream stream) {
    enter();
    return Context(*memory_, *queue_, *blas_, device_, stream);
  }
  template <class Job>
  void run(void (*operation)(const Job&, Context&), const Job& job, Stream stream) {
    watchdog_->allow(seconds_of(job));
    const Watchdog::Call call(*watchdog_);
    Context local = context(stream);
    operation(job, local);
  }

  /// Of operations with results in host memory: all before them is done, too.
  template <class Job>
  void run_and_wait(void (*operation)(const Job&, Context&), const Job& job, Stream stream) {
    run(operation, job, stream);
    watchdog_->settled();
  }

  Device device_;
  std::shared_ptr<Watchdog> watchdog_;
  Event last_;
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Blas> blas_;
  std::unique_ptr<Queue> queue_;  ///< last, so that it ends first and waits for all work
};

void CudaBackend::wait(Event event) {
  const Watchdog::Call call(*watchdog_);
  queue_->wait(event);
  if (event.ticket == last_.ticket) watchdog_->settled();
}

Result<Buffer> CudaBackend::allocate(std::size_t bytes) {
  const Watchdog::Call call(*watchdog_);
  enter();
  MUSTER_ASSIGN(const Buffer buffer, memory_->allocate(bytes));
  // Compute, so that what was queued for the last owner of this memory comes before.
  context(Stream::kCompute).fill_zero(buffer.data, bytes);
  queue_->wait_on(Stream::kCopy, queue_->record(Stream::kCompute));
  return buffer;
}

Result<Buffer> CudaBackend::allocate_host(std::size_t bytes) {
  MUSTER_ASSIGN(const Buffer buffer, memory_->allocate_host(bytes));
  std::memset(buffer.data, 0, bytes);
  return buffer;
}

void CudaBackend::upload(std::byte* target, ConstBytes source, Stream stream) {
  if (source.empty()) return;
  const Watchdog::Call call(*watchdog_);
  enter();
  // From the slab by DMA; other pages the driver copies before the call returns.
  MUSTER_CUDA(cudaMemcpyAsync(target, source.data(), source.size(), cudaMemcpyHostToDevice,
                              queue_->stream(stream)));
}

/// Tables of a job (an address, a factor and a weight a row, an exponent a coordinate at most), and
/// what grid_norms(), the greediest, finds in each block of each row; or what a transform has on
/// its way.
std::size_t CudaBackend::scratch_bytes(std::size_t n, std::size_t d) const {
  const std::size_t tables = 3 * n * sizeof(std::uint64_t) + d;
  const std::size_t measured = n * (canonical::block_count(d) + 1) * 3 * sizeof(std::uint64_t);
  return tables + std::max({measured, kTransformBytes, gram_scratch_bytes(n, d),
                            relate_scratch_bytes(n, d)});
}

/// What the device has free, less a share for the driver and whatever else runs there.
std::size_t all_but_a_share(const Device& device) { return device.free_bytes / 4 * 3; }

}  // namespace

Result<std::unique_ptr<DeviceBackend>> open_device(int ordinal, const MemoryBudget& budget,
                                                   std::shared_ptr<Watchdog> watchdog) {
  MUSTER_ASSIGN(Device device, Device::open(ordinal));
  MemoryBudget taken = budget;
  if (taken.device_bytes == 0) taken.device_bytes = all_but_a_share(device);
  MUSTER_ASSIGN(auto memory, Memory::take(taken));
  MUSTER_ASSIGN(auto blas, Blas::open());
  auto queue = std::make_unique<Queue>(memory->ring());
  MUSTER_TRY(queue->open());
  return std::unique_ptr<DeviceBackend>(
      std::make_unique<CudaBackend>(std::move(device), std::move(watchdog), std::move(memory),
                                    std::move(blas), std::move(queue)));
}

Result<std::unique_ptr<Backend>> create_backend(const PluginRequest& request, bool& gpu_found) {
  MUSTER_ASSIGN(const int count, device_count());
  gpu_found = true;  // none is an error to the runtime
  const auto there = static_cast<std::size_t>(count);
  if (request.devices > there)
    return Status(
        Code::kUnavailable, "cuda_unavailable",
        fmt::format("{} CUDA devices are asked for, there are {}", request.devices, there));
  auto watchdog = std::make_shared<Watchdog>(request.hang_seconds);
  watchdog->allow(kStartSeconds * count);
  const Watchdog::Call call(*watchdog);  // of the start, too
  watchdog->settled();
  std::vector<std::unique_ptr<DeviceBackend>> devices;
  while (devices.size() < (request.devices != 0 ? request.devices : there)) {
    const std::size_t host_bytes = devices.empty() ? request.host_bytes : 0;
    MUSTER_ASSIGN(auto device, open_device(static_cast<int>(devices.size()),
                                           {request.memory_bytes, host_bytes}, watchdog));
    devices.push_back(std::move(device));
  }
  if (devices.size() == 1) return std::unique_ptr<Backend>(std::move(devices[0]));
  return make_group(std::move(devices));
}

}  // namespace muster::kernels::cuda
