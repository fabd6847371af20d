#include "tests/gpusim/runtime/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tests/gpusim/runtime/runtime.h"

namespace gpusim {
namespace {

// cudaStreamPerThread of this thread, per device.
thread_local std::array<Stream*, kMostDevices> per_thread{};

}  // namespace

std::uint64_t Scheduler::random() {  // splitmix64
  std::uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Scheduler::Policy Scheduler::policy() const {
  if (settings_.seed == 0) return Policy::kAtOnce;
  switch (settings_.seed % 3) {
    case 1:
      return Policy::kOnlyWhatIsAsked;
    case 2:
      return Policy::kByRank;
    default:
      return Policy::kAny;
  }
}

Stream* Scheduler::create(int device, bool blocking, int priority) {
  auto stream = std::make_unique<Stream>();
  stream->device = device;
  stream->blocking = blocking;
  stream->priority = priority;
  stream->number = created_++;
  stream->rank = random();
  streams_.push_back(std::move(stream));
  return streams_.back().get();
}

void Scheduler::destroy(Stream* stream) {
  stream->destroyed = true;
  sweep();
}

void Scheduler::sweep() {
  std::erase_if(streams_, [](const auto& s) { return s->destroyed && s->idle(); });
}

Stream* Scheduler::resolve(cudaStream_t handle, int device) {
  const auto index = static_cast<std::size_t>(device);
  if (handle == nullptr || handle == cudaStreamLegacy) {
    if (legacy_[index] == nullptr) legacy_[index] = create(device, true, 0);
    return legacy_[index];
  }
  if (handle == cudaStreamPerThread) {
    if (per_thread[index] == nullptr) per_thread[index] = create(device, true, 0);
    return per_thread[index];
  }
  for (const auto& stream : streams_)
    if (stream.get() == handle && !stream->destroyed) return handle;
  return nullptr;
}

MarkPointer Scheduler::enqueue(Lock& lock, Stream& stream, Operation operation) {
  // The legacy stream waits for all blocking streams of its device, and they for it.
  Stream* legacy = legacy_[static_cast<std::size_t>(stream.device)];
  if (&stream == legacy) {
    for (const auto& other : streams_)
      if (other->blocking && other->device == stream.device && !other->idle())
        operation.after.push_back(other->last);
  } else if (stream.blocking && legacy != nullptr && !legacy->idle()) {
    operation.after.push_back(legacy->last);
  }
  auto end = std::make_shared<Mark>();
  end->stream = &stream;
  stream.last = end;
  stream.queue.push_back({std::move(operation), end});
  moved_.notify_all();
  switch (policy()) {
    case Policy::kAtOnce:
      while (step(lock)) {
      }
      break;
    case Policy::kOnlyWhatIsAsked:
      break;
    case Policy::kByRank:
    case Policy::kAny:
      if (random() % 8 == 0) step(lock);
      break;
  }
  return end;
}

bool Scheduler::runnable(Stream& stream) const {
  if (stream.running || stream.queue.empty()) return false;
  const Operation& first = stream.queue.front().operation;
  return std::all_of(first.after.begin(), first.after.end(),
                     [](const MarkPointer& mark) { return mark->done; }) &&
         (!first.ready || first.ready());
}

Stream* Scheduler::pick(Stream* wanted) {
  if (policy() == Policy::kOnlyWhatIsAsked && wanted != nullptr) {
    // From the wanted stream to the first stream it waits for, and so on.
    Stream* stream = wanted;
    for (std::size_t i = 0; i <= streams_.size(); ++i) {
      if (runnable(*stream)) return stream;
      if (stream->running || stream->queue.empty()) break;
      const auto& after = stream->queue.front().operation.after;
      const auto open = std::find_if(after.begin(), after.end(),
                                     [](const MarkPointer& mark) { return !mark->done; });
      if (open == after.end()) break;
      stream = (*open)->stream;
    }
  }
  std::vector<Stream*> candidates;
  for (const auto& stream : streams_)
    if (runnable(*stream)) candidates.push_back(stream.get());
  if (candidates.empty()) return nullptr;
  // By rank one stream runs ahead as far as it may; now and then another takes the lead.
  if (policy() == Policy::kByRank && random() % 16 != 0)
    return *std::max_element(candidates.begin(), candidates.end(),
                             [](const Stream* a, const Stream* b) { return a->rank < b->rank; });
  return candidates[random() % candidates.size()];
}

void Scheduler::run_first(Lock& lock, Stream& stream) {
  const auto [operation, end] = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (operation.host_code) {
    stream.running = true;
    lock.unlock();
    operation.run();
    lock.lock();
    stream.running = false;
  } else if (operation.run) {
    operation.run();
  }
  end->done = true;
  end->at = std::chrono::steady_clock::now();
  ++moves_;
  moved_.notify_all();
  sweep();
}

bool Scheduler::step(Lock& lock, Stream* wanted) {
  Stream* stream = pick(wanted);
  if (stream != nullptr) run_first(lock, *stream);
  return stream != nullptr;
}

bool Scheduler::wait(Lock& lock, const std::function<bool()>& done, Stream* wanted) {
  using Clock = std::chrono::steady_clock;
  std::uint64_t seen = moves_;
  Clock::time_point since = Clock::now();
  while (!done()) {
    if (step(lock, wanted)) continue;
    moved_.wait_for(lock, std::chrono::milliseconds(5));
    const bool host_code = std::any_of(streams_.begin(), streams_.end(),
                                       [](const auto& stream) { return stream->running; });
    if (hung_ || host_code || moves_ != seen) {
      seen = moves_;
      since = Clock::now();
    } else if (Clock::now() - since > std::chrono::milliseconds(settings_.deadlock_ms)) {
      report_deadlock();
      runtime().fail(cudaErrorLaunchTimeout);
      return false;
    }
  }
  return true;
}

bool Scheduler::wait_for_stream(Lock& lock, Stream& stream) {
  // The end of what is queued now: others may go on queueing, and the stream may go.
  const MarkPointer last = stream.last;
  if (!last) return true;
  return wait(
      lock, [last] { return last->done; }, last->done ? nullptr : &stream);
}

bool Scheduler::wait_for_device(Lock& lock, int device) {
  std::vector<MarkPointer> ends;
  for (const auto& stream : streams_)
    if (stream->device == device && stream->last && !stream->last->done)
      ends.push_back(stream->last);
  for (const MarkPointer& end : ends) {
    Stream* stream = end->done ? nullptr : end->stream;
    if (!wait(
            lock, [&end] { return end->done; }, stream))
      return false;
  }
  return true;
}

std::size_t Scheduler::pending() const {
  std::size_t count = 0;
  for (const auto& stream : streams_) count += stream->queue.size();
  return count;
}

void Scheduler::report_deadlock() const {
  std::string waiting;
  for (const auto& stream : streams_)
    if (!stream->queue.empty())
      waiting.append(fmt::format("; stream {} of device {} stands at {}", stream->number,
                                 stream->device, stream->queue.front().operation.what));
  runtime().report("deadlock", fmt::format("nothing can run{}", waiting));
}

}  // namespace gpusim
