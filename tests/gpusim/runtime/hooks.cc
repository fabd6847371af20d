#include "tests/gpusim/runtime/hooks.h"

#include <utility>

#include "tests/gpusim/runtime/runtime.h"

namespace gpusim::hooks {

Lock lock() { return Lock(runtime().mutex); }
void report(std::string_view who, std::string_view what) { runtime().report(who, what); }
void fail(cudaError_t error) { runtime().fail(error); }
cudaError_t sticky() { return runtime().sticky; }
cudaError_t enter(std::string_view who) { return gpusim::enter(who); }
int current_device() { return gpusim::current_device(); }
int device_count() { return runtime().settings.devices; }

std::optional<int> stream_device(cudaStream_t stream) {
  const Stream* resolved = runtime().scheduler.resolve(stream, gpusim::current_device());
  if (resolved == nullptr) return std::nullopt;
  return resolved->device;
}

std::optional<std::string> device_range_fault(const void* p, std::size_t bytes, int device) {
  return runtime().memory.device_range_fault(p, bytes, device);
}

const void* first_uninitialised(const void* p, std::size_t bytes) {
  Runtime& rt = runtime();
  return rt.settings.uninitialised ? rt.machine.first_uninitialised(p, bytes) : nullptr;
}

void mark_initialised(const void* p, std::size_t bytes) {
  runtime().machine.mark_initialised(p, bytes);
}

void enqueue(Lock& lock, cudaStream_t stream, int device, std::string what,
             std::function<void()> run, std::function<bool()> ready) {
  Scheduler& scheduler = runtime().scheduler;
  scheduler.enqueue(lock, *scheduler.resolve(stream, device),
                    {std::move(what), std::move(run), std::move(ready), {}, false});
}

std::uint64_t any_order() { return (runtime().settings.seed * 0x9e3779b97f4a7c15u) >> 32; }

std::uint32_t deadlock_ms() { return runtime().settings.deadlock_ms; }

}  // namespace gpusim::hooks
