#include "kernels/cuda/queue.h"

#include <algorithm>
#include <thread>

#include "kernels/cuda/device.h"

namespace muster::kernels::cuda {

Status Queue::open() {
  for (cudaStream_t& stream : streams_)
    MUSTER_TRY(started(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "no stream"));
  events_.reserve(kEvents);
  while (events_.size() < kEvents) {
    cudaEvent_t event = nullptr;
    MUSTER_TRY(started(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "no event"));
    events_.push_back(event);
  }
  return {};
}

Queue::~Queue() {
  // Errors have no reader any more.
  for (cudaStream_t stream : streams_)
    if (stream != nullptr) cudaStreamSynchronize(stream);
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
  for (cudaStream_t stream : streams_)
    if (stream != nullptr) cudaStreamDestroy(stream);
}

Event Queue::record(Stream stream) {
  const std::uint64_t ticket = last_ticket_ + 1;
  if (ticket > events_.size()) wait({ticket - events_.size()});
  MUSTER_CUDA(cudaEventRecord(event_of(ticket), this->stream(stream)));
  last_ticket_ = ticket;
  return {ticket};
}

bool Queue::done(Event event) {
  if (event.ticket == 0 || event.ticket + events_.size() <= last_ticket_) return true;
  const cudaError_t state = cudaEventQuery(event_of(event.ticket));
  if (state == cudaErrorNotReady) return false;
  must(state, "cudaEventQuery");
  return true;
}

void Queue::wait(Event event) {
  // A look costs about a microsecond, and most waits are short: yielding keeps the core useful. One
  // that never ends is the watchdog's.
  while (!done(event)) std::this_thread::yield();
}

void Queue::wait_on(Stream stream, Event event) {
  if (!done(event))
    MUSTER_CUDA(cudaStreamWaitEvent(this->stream(stream), event_of(event.ticket), 0));
}

std::byte* Queue::take(std::size_t bytes) {
  constexpr std::size_t kLine = 256;
  std::size_t at = static_cast<std::size_t>(head_ % ring_.size());
  std::uint64_t begin = head_;
  if (at + bytes > ring_.size()) {  // a piece does not wrap
    begin += ring_.size() - at;
    at = 0;
  }
  const std::uint64_t end = begin + align_up(bytes, kLine);
  while (end - tail_ > ring_.size()) {
    MUSTER_CHECK(!pieces_.empty());
    wait({pieces_.front().ticket});
    tail_ = pieces_.front().end;
    pieces_.pop_front();
  }
  head_ = end;
  return ring_.data() + at;
}

void Queue::stage(std::byte* target, ConstBytes source, Stream stream) {
  for (std::size_t at = 0; at < source.size();) {
    const std::size_t count = std::min(source.size() - at, piece_bytes());
    std::byte* piece = take(count);
    std::memcpy(piece, source.data() + at, count);
    MUSTER_CUDA(
        cudaMemcpyAsync(target + at, piece, count, cudaMemcpyHostToDevice, this->stream(stream)));
    free_after(record(stream));
    at += count;
  }
}

void Queue::fetch(MutableBytes target, const std::byte* source, Stream stream) {
  for (std::size_t at = 0; at < target.size();) {
    const std::size_t count = std::min(target.size() - at, piece_bytes());
    const std::byte* piece = take(count);
    MUSTER_CUDA(cudaMemcpyAsync(const_cast<std::byte*>(piece), source + at, count,
                                cudaMemcpyDeviceToHost, this->stream(stream)));
    const Event copied = record(stream);
    free_after(copied);
    wait(copied);
    std::memcpy(target.data() + at, piece, count);
    at += count;
  }
  if (target.empty()) wait(record(stream));
}

void Queue::stage_secret(std::byte* target, ConstBytes source, Stream stream) {
  MUSTER_CHECK_OP(source.size(), <=, secret_.size());
  wait(secret_wiped_);
  std::memcpy(secret_.data(), source.data(), source.size());
  MUSTER_CUDA(cudaMemcpyAsync(target, secret_.data(), source.size(), cudaMemcpyHostToDevice,
                              this->stream(stream)));
}

void Queue::wipe_secret(std::byte* target, std::size_t bytes, Stream stream) {
  MUSTER_CUDA(cudaMemsetAsync(target, 0, bytes, this->stream(stream)));
  // Zeros go back over the pinned copy, and so not before the device has read it.
  MUSTER_CUDA(
      cudaMemcpyAsync(secret_.data(), target, bytes, cudaMemcpyDeviceToHost, this->stream(stream)));
  secret_wiped_ = record(stream);
}

}  // namespace muster::kernels::cuda
