// What the fakes of cuBLAS and NCCL need of the fake runtime. Every function but lock() wants the
// lock held.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace gpusim::hooks {

using Lock = std::unique_lock<std::mutex>;

Lock lock();
void report(std::string_view who, std::string_view what);
// As a GPU whose context is lost: every later call returns `error`.
void fail(cudaError_t error);
cudaError_t sticky();
// A call of the library begins: counted, and failed where GPUSIM_FAIL_CALL says so; or the sticky
// error.
cudaError_t enter(std::string_view who);

int current_device();
int device_count();
// The stream's device; nothing for a handle that is none.
std::optional<int> stream_device(cudaStream_t stream);

// Why [p, p + bytes) is not device memory that `device` may use; nothing if it is.
std::optional<std::string> device_range_fault(const void* p, std::size_t bytes, int device);
// The first byte nobody wrote; null if there is none.
const void* first_uninitialised(const void* p, std::size_t bytes);
void mark_initialised(const void* p, std::size_t bytes);

// Queues `run` in a stream of `device`, to run under the lock once the stream has come to it and
// `ready` (may be empty; asked often) says so.
void enqueue(Lock& lock, cudaStream_t stream, int device, std::string what,
             std::function<void()> run, std::function<bool()> ready = {});

// A number that depends on nothing but the seed, for orders that a real library leaves open but
// does not change from call to call. 0 with seed 0.
std::uint64_t any_order();
std::uint32_t deadlock_ms();

}  // namespace gpusim::hooks
