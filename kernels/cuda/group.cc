#include "kernels/cuda/group.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/group_memory.h"
#include "kernels/cuda/nccl.h"
#include "kernels/cuda/queue.h"

namespace muster::kernels::cuda {
namespace {

constexpr std::size_t kMostDevices = 16;  ///< of a node

class GroupBackend final : public Backend {
 public:
  GroupBackend(GroupMemory::Devices devices, std::unique_ptr<Collective> collective,
               std::unique_ptr<AddressRange> range)
      : devices_(std::move(devices)),
        collective_(std::move(collective)),
        memory_(devices_, *collective_, std::move(range)),
        tickets_(kEvents) {}
  ~GroupBackend() override { collective_.reset(); }  // waits; the devices go after it

  std::string_view kind() const override { return "cuda"; }
  std::string description() const override {
    return fmt::format("{} GPUs, each {}", devices_.size(), devices_[0]->description());
  }
  bool host_visible() const override { return false; }

  Result<Buffer> allocate(std::size_t bytes) override { return memory_.allocate(bytes, 0); }
  Result<Buffer> allocate_by_chunk(std::size_t bytes, std::size_t piece_bytes) override {
    return memory_.allocate(bytes, piece_bytes);
  }
  Result<Buffer> allocate_host(std::size_t bytes) override {
    return devices_[0]->allocate_host(bytes);
  }
  void release(Buffer buffer) override {
    if (buffer.data != nullptr && !memory_.release(buffer)) devices_[0]->release(buffer);
  }
  /// Of the first device, which has the most.
  std::size_t allocated_bytes() const override { return devices_[0]->allocated_bytes(); }

  void upload(std::byte* target, ConstBytes source, Stream stream) override {
    memory_.upload(target, source, stream);
  }
  void download(MutableBytes target, const std::byte* source, Stream stream) override {
    memory_.download(target, source, stream);
  }
  void fill_zero(std::byte* target, std::size_t bytes, Stream stream) override {
    memory_.fill_zero(target, bytes, stream);
  }

  Event record(Stream stream) override;
  bool done(Event event) override;
  void wait(Event event) override;
  void wait_on(Stream stream, Event event) override;

  void inspect(const InspectJob& job, Stream stream) override {
    InspectJob there = job;
    devices_[enter(there.codes)]->inspect(there, stream);
  }
  void accumulate(const AccumulateJob& job, Stream stream) override {
    AccumulateJob there = job;
    devices_[enter(there.codes, there.target)]->accumulate(there, stream);
  }
  void kept_sum(const KeptSumJob& job, Stream stream) override {
    KeptSumJob there = job;
    devices_[enter(there.codes, there.target)]->kept_sum(there, stream);
  }
  void window_sum(const WindowSumJob& job, Stream stream) override {
    WindowSumJob there = job;
    devices_[enter(there.codes, there.target)]->window_sum(there, stream);
  }
  void count(const CountJob& job, Stream stream) override {
    CountJob there = job;
    devices_[enter(there.codes, there.counters)]->count(there, stream);
  }
  void vote(const VoteJob& job, Stream stream) override {
    VoteJob there = job;
    devices_[enter(there.codes, there.target)]->vote(there, stream);
  }
  void expand(const ExpandJob& job, Stream stream) override {
    ExpandJob there = job;
    devices_[enter(there.codes, there.target)]->expand(there, stream);
  }
  void pair_distances(const PairDistanceJob& job, Stream stream) override {
    PairDistanceJob there = job;
    devices_[enter(there.codes)]->pair_distances(there, stream);
  }
  void kept_sum_of_counts(const KeptSumOfCountsJob& job, Stream stream) override;
  void gram(const GramJob& job, Stream stream) override;
  void restore(const RestoreJob& job, Stream stream) override;
  void sketch(const SketchJob& job, Stream stream) override;
  void relate(const RelateJob& job, Stream stream) override;
  void grid_norms(const GridNormJob& job, Stream stream) override;

  void step(const StepJob& job, Stream stream) override;
  void merge(const MergeJob& job, Stream stream) override;
  void elect(std::int64_t* target, std::size_t d, Stream stream) override;
  void add_noise(const NoiseJob& job, Stream stream) override;

  std::size_t scratch_bytes(std::size_t n, std::size_t d) const override {
    return devices_[0]->scratch_bytes(n, d);
  }
  std::size_t kept_sum_scratch_bytes(std::size_t n, std::size_t d) const override {
    return devices_[0]->kept_sum_scratch_bytes(n, d);
  }
  std::size_t window_sum_scratch_bytes(std::size_t n) const override {
    return devices_[0]->window_sum_scratch_bytes(n);
  }

 private:
  using Tickets = std::array<Event, kMostDevices>;
  Tickets& of(Event event) { return tickets_[event.ticket % tickets_.size()]; }
  /// Long ago, and waited for when its place was taken.
  bool past(Event event) const {
    return event.ticket == 0 || event.ticket + tickets_.size() <= last_ticket_;
  }

  /// The device of a job; its codes become what they are there.
  std::size_t enter(Codes& codes) {
    const std::size_t device = memory_.place({}, codes.rows);
    codes = memory_.read(codes, device, rows_);
    return device;
  }
  /// The same, and of what it changes.
  template <class T>
  std::size_t enter(Codes& codes, T*& target) {
    const std::size_t device = memory_.place({target}, codes.rows);
    codes = memory_.read(codes, device, rows_);
    target = memory_.change(target, device);
    return device;
  }
  /// A whole vector's job: run(first, count) for the stretches that lie in one piece of all of its
  /// vectors, given as {address, bytes of an element}.
  struct Vector {
    const void* address;
    std::size_t element_bytes;
  };
  template <class Run>
  void for_each_stretch(std::size_t d, std::initializer_list<Vector> vectors, const Run& run) {
    for (std::size_t first = 0; first < d;) {
      std::size_t count = d - first;
      for (const auto& [address, bytes] : vectors)
        if (address != nullptr)
          count =
              memory_.stretch(static_cast<const std::byte*>(address) + first * bytes, bytes, count);
      run(first, count);
      first += count;
    }
  }

  GroupMemory::Devices devices_;
  std::unique_ptr<Collective> collective_;
  GroupMemory memory_;
  std::vector<Tickets> tickets_;
  std::uint64_t last_ticket_ = 0;
  std::vector<const std::byte*> rows_;  ///< of the job under way
};

template <class T>
T* from(T* vector, std::size_t first) {
  return vector == nullptr ? nullptr : vector + first;
}

Event GroupBackend::record(Stream stream) {
  const Event event{last_ticket_ + 1};
  if (event.ticket > tickets_.size()) wait({event.ticket - tickets_.size()});
  for (std::size_t device = 0; device < devices_.size(); ++device)
    of(event)[device] = devices_[device]->record(stream);
  last_ticket_ = event.ticket;
  return event;
}

bool GroupBackend::done(Event event) {
  if (past(event)) return true;
  for (std::size_t device = 0; device < devices_.size(); ++device)
    if (!devices_[device]->done(of(event)[device])) return false;
  return true;
}

void GroupBackend::wait(Event event) {
  if (past(event)) return;
  for (std::size_t device = 0; device < devices_.size(); ++device)
    devices_[device]->wait(of(event)[device]);
}

void GroupBackend::wait_on(Stream stream, Event event) {
  if (past(event)) return;
  // What crosses devices goes through collectives, which order themselves.
  for (std::size_t device = 0; device < devices_.size(); ++device)
    devices_[device]->wait_on(stream, of(event)[device]);
}

void GroupBackend::kept_sum_of_counts(const KeptSumOfCountsJob& job, Stream stream) {
  KeptSumOfCountsJob there = job;
  const std::size_t device = memory_.place({job.counters, job.target});
  there.counters = memory_.read(job.counters, device);
  there.target = memory_.change(job.target, device);
  devices_[device]->kept_sum_of_counts(there, stream);
}

void GroupBackend::gram(const GramJob& job, Stream stream) {
  GramJob there = job;
  const std::size_t device = memory_.place({job.centre, job.gram}, job.codes.rows);
  there.codes = memory_.read(job.codes, device, rows_);
  there.centre = memory_.read(job.centre, device);
  there.gram = memory_.add_products_to(job.gram, job, device);
  devices_[device]->gram(there, stream);
}

void GroupBackend::restore(const RestoreJob& job, Stream stream) {
  RestoreJob there = job;
  const std::size_t device = memory_.place({job.sums, job.target});
  there.sums = memory_.read(job.sums, device);
  there.target = memory_.change(job.target, device);
  devices_[device]->restore(there, stream);
}

void GroupBackend::sketch(const SketchJob& job, Stream stream) {
  SketchJob there = job;
  const std::size_t device = memory_.place({job.signs, job.places}, job.codes.rows);
  there.codes = memory_.read(job.codes, device, rows_);
  there.signs = memory_.read(job.signs, device);
  there.places = memory_.read(job.places, device);
  there.target = memory_.add_to(job.target, device);
  devices_[device]->sketch(there, stream);
}

void GroupBackend::relate(const RelateJob& job, Stream stream) {
  RelateJob there = job;
  const std::size_t device = memory_.place({job.reference}, job.codes.rows);
  there.codes = memory_.read(job.codes, device, rows_);
  there.reference = memory_.read(job.reference, device);
  devices_[device]->relate(there, stream);
}

void GroupBackend::grid_norms(const GridNormJob& job, Stream stream) {
  GridNormJob there = job;
  const std::size_t device = memory_.place({job.centre}, job.codes.rows);
  there.codes = memory_.read(job.codes, device, rows_);
  there.centre = memory_.read(job.centre, device);
  devices_[device]->grid_norms(there, stream);
}

void GroupBackend::step(const StepJob& job, Stream stream) {
  for_each_stretch(job.d,
                   {{job.sum, sizeof *job.sum},
                    {job.model, sizeof *job.model},
                    {job.first, sizeof *job.first},
                    {job.second, sizeof *job.second}},
                   [&](std::size_t first, std::size_t count) {
                     StepJob there = job;
                     there.sum = from(job.sum, first);
                     there.model = from(job.model, first);
                     there.first = from(job.first, first);
                     there.second = from(job.second, first);
                     const std::size_t device =
                         memory_.place({there.sum, there.model, there.first, there.second});
                     there.sum = memory_.read(there.sum, device);
                     there.model = memory_.change(there.model, device);
                     there.first = memory_.change(there.first, device);
                     there.second = memory_.change(there.second, device);
                     there.d = count;
                     devices_[device]->step(there, stream);
                   });
}

void GroupBackend::merge(const MergeJob& job, Stream stream) {
  for_each_stretch(job.d, {{job.sum, sizeof *job.sum}, {job.target, sizeof *job.target}},
                   [&](std::size_t first, std::size_t count) {
                     MergeJob there = job;
                     there.sum = from(job.sum, first);
                     there.target = from(job.target, first);
                     const std::size_t device = memory_.place({there.sum, there.target});
                     there.sum = memory_.read(there.sum, device);
                     there.target = memory_.change(there.target, device);
                     there.d = count;
                     devices_[device]->merge(there, stream);
                   });
}

void GroupBackend::elect(std::int64_t* target, std::size_t d, Stream stream) {
  for_each_stretch(d, {{target, sizeof *target}}, [&](std::size_t first, std::size_t count) {
    const std::size_t device = memory_.place({target + first});
    devices_[device]->elect(memory_.change(target + first, device), count, stream);
  });
}

void GroupBackend::add_noise(const NoiseJob& job, Stream stream) {
  for_each_stretch(job.d, {{job.target, sizeof *job.target}},
                   [&](std::size_t first, std::size_t count) {
                     NoiseJob there = job;
                     const std::size_t device = memory_.place({job.target + first});
                     there.target = memory_.change(job.target + first, device);
                     there.first = job.first + first;
                     there.d = count;
                     devices_[device]->add_noise(there, stream);
                   });
}

}  // namespace

Result<std::unique_ptr<Backend>> make_group(GroupMemory::Devices devices) {
  if (devices.size() > kMostDevices)
    return Status(Code::kUnavailable, "cuda_unavailable",
                  fmt::format("{} GPUs, a group has at most {}", devices.size(), kMostDevices));
  std::vector<Rank> ranks;
  std::size_t bytes = 0;
  for (const auto& device : devices) {
    ranks.push_back({device->device().ordinal, device->stream(Stream::kCompute)});
    bytes += device->device().memory_bytes;
  }
  MUSTER_ASSIGN(auto collective, open_nccl(std::move(ranks)));
  // Twice as many addresses as there can be bytes, so that gaps never matter.
  MUSTER_ASSIGN(auto range, AddressRange::reserve(2 * bytes));
  return std::unique_ptr<Backend>(
      std::make_unique<GroupBackend>(std::move(devices), std::move(collective), std::move(range)));
}

}  // namespace muster::kernels::cuda
