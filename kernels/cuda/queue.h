// The two streams of the backend, the events that order them, and the pinned ring by which small
// tables reach the device and results come back.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "kernels/backend.h"

namespace muster::kernels::cuda {

/// One thread at a time.
class Queue {
 public:
  /// `pinned`: page-locked, and stays longer than this.
  explicit Queue(MutableBytes pinned)
      : ring_(pinned.first(pinned.size() - kSecretBytes)), secret_(pinned.last(kSecretBytes)) {}
  /// Waits for both streams.
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /// Creates streams and events: all there will ever be.
  Status open();

  cudaStream_t stream(Stream stream) const { return streams_[static_cast<std::size_t>(stream)]; }

  Event record(Stream stream);
  bool done(Event event);
  void wait(Event event);
  void wait_on(Stream stream, Event event);

  /// target (device) = source, in stream order; `source` is free again when this returns.
  void stage(std::byte* target, ConstBytes source, Stream stream);
  /// target (host) = source (device), once all before it on the stream is done; waits.
  void fetch(MutableBytes target, const std::byte* source, Stream stream);

  /// stage() for a key, of at most kSecretBytes; wipe_secret() follows on the same stream.
  void stage_secret(std::byte* target, ConstBytes source, Stream stream);
  /// Once what is before it on the stream is done, there is no copy of the key in memory of ours.
  void wipe_secret(std::byte* target, std::size_t bytes, Stream stream);
  static constexpr std::size_t kSecretBytes = 256;

 private:
  /// A piece of the ring, with the ticket after which it is free.
  struct Piece {
    std::uint64_t ticket;
    std::uint64_t end;
  };
  /// `bytes` of the ring, at most piece_bytes() of it. Freed by free_after().
  std::byte* take(std::size_t bytes);
  void free_after(Event event) { pieces_.push_back({event.ticket, head_}); }
  std::size_t piece_bytes() const { return ring_.size() / 4; }
  cudaEvent_t event_of(std::uint64_t ticket) const { return events_[ticket % events_.size()]; }

  MutableBytes ring_;
  MutableBytes secret_;
  Event secret_wiped_;
  std::uint64_t head_ = 0, tail_ = 0;  ///< positions that only grow, modulo the ring
  std::deque<Piece> pieces_;
  std::array<cudaStream_t, 2> streams_{};
  /// Event of ticket t is t modulo their number: recorded again only when it has passed.
  std::vector<cudaEvent_t> events_;
  std::uint64_t last_ticket_ = 0;
};

/// Points in the streams that can be told apart: past these, record() waits for the oldest.
inline constexpr std::size_t kEvents = 256;

}  // namespace muster::kernels::cuda
