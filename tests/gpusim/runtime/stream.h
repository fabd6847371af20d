// Streams as real queues, run late and in a seeded legal order: what a missing wait would let
// happen on a GPU happens here. Callers hold the runtime's lock, which waiting releases.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/gpusim/runtime/memory.h"
#include "tests/gpusim/runtime/settings.h"

namespace gpusim {

using Lock = std::unique_lock<std::mutex>;

// The end of an operation: what events point to and other operations wait for.
struct Mark {
  cudaStream_t stream = nullptr;  // alive until done
  bool done = false;
  std::chrono::steady_clock::time_point at;
};
using MarkPointer = std::shared_ptr<Mark>;

struct Operation {
  std::string what;                // for reports
  std::function<void()> run;       // under the lock, unless host_code
  std::function<bool()> ready;     // a condition beside the order of streams; may be empty
  std::vector<MarkPointer> after;  // ends to wait for
  bool host_code = false;          // code of the program (cudaLaunchHostFunc)
};

}  // namespace gpusim

struct CUstream_st {
  struct Queued {
    gpusim::Operation operation;
    gpusim::MarkPointer end;
  };
  int device = 0;
  bool blocking = true;  // ordered against the legacy stream
  int priority = 0;
  std::uint64_t number = 0;  // in order of creation
  std::uint64_t rank = 0;    // drawn by the scheduler
  bool running = false;      // its first operation is host code, running now
  bool destroyed = false;    // goes when empty
  std::deque<Queued> queue;
  gpusim::MarkPointer last;  // end of what was queued last; null before the first

  bool idle() const { return queue.empty() && !running; }
};

namespace gpusim {

using Stream = CUstream_st;

class Scheduler {
 public:
  explicit Scheduler(const Settings& settings)
      : settings_(settings), random_(settings.seed * 0x9e3779b97f4a7c15u + 1) {}

  Stream* create(int device, bool blocking, int priority);
  // As cudaStreamDestroy: work already queued still runs.
  void destroy(Stream* stream);
  // The stream a handle means for a caller on `device`; null if there is none of that handle.
  Stream* resolve(cudaStream_t handle, int device);

  // Appends to the stream, ordered against the legacy stream, and may run something.
  MarkPointer enqueue(Lock& lock, Stream& stream, Operation operation);

  // Runs operations, here or in other threads, until done(). False, with a report and a sticky
  // error, when nothing has moved for settings.deadlock_ms. `wanted`, if any, is what the caller
  // needs: some seeds run only that.
  bool wait(Lock& lock, const std::function<bool()>& done, Stream* wanted = nullptr);
  bool wait_for_stream(Lock& lock, Stream& stream);
  bool wait_for_device(Lock& lock, int device);
  // Runs one operation if one can run: what polling does.
  bool step(Lock& lock, Stream* wanted = nullptr);

  // An operation that never ends was queued: waiting for it is no deadlock.
  void hang() { hung_ = true; }
  void change_seed() { random_ = settings_.seed * 0x9e3779b97f4a7c15u + 1; }
  std::uint64_t random();
  std::size_t pending() const;  // operations not run yet

 private:
  // What runs next; which of them follows from the seed.
  enum class Policy { kAtOnce, kOnlyWhatIsAsked, kByRank, kAny };
  Policy policy() const;
  bool runnable(Stream& stream) const;
  Stream* pick(Stream* wanted);
  void run_first(Lock& lock, Stream& stream);
  void sweep();
  void report_deadlock() const;

  const Settings& settings_;
  std::uint64_t random_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::array<Stream*, kMostDevices> legacy_{};
  std::condition_variable moved_;
  std::uint64_t moves_ = 0;
  std::uint64_t created_ = 0;
  bool hung_ = false;
};

}  // namespace gpusim
