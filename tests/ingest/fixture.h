// A round to send to, honest messages for it, and a spool in memory.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ingest/intake.h"
#include "ingest/spool.h"

namespace muster::ingest {

inline constexpr TaskId kTask = 7;
inline constexpr RoundNumber kRound = 3;
inline constexpr char kTaskName[] = "keyboard";

/// 300 coordinates in three chunks of 128, 128 and 44, int8 blocks of 64, bound 16.
RoundSpec small_round(Codec codec = Codec::kI8B);
/// Of `chunk_count` equal chunks of `chunk_coordinates`.
RoundSpec plain_round(Codec codec, std::uint32_t chunk_coordinates, std::uint32_t chunk_count);

/// Values that pass every check, from a seed.
std::vector<std::byte> random_payload(const RoundSpec& spec, std::uint32_t chunk,
                                      std::uint64_t seed);
wire::Submit submit_for(const RoundSpec& spec, std::uint32_t chunk, std::uint64_t nonce,
                        ConstBytes payload);

/// A message as it lies in frames.
struct Frames {
  std::vector<std::vector<std::byte>> frames;
  std::vector<ConstBytes> views() const;
};
Frames frames_of(wire::Body body, ConstBytes payload = {}, std::uint32_t request = 1);
/// An honest chunk of the update that `nonce` names.
Frames honest_chunk(const RoundSpec& spec, std::uint32_t chunk, std::uint64_t nonce,
                    std::uint64_t seed = 1);

Peer device_peer(std::uint8_t number, KeyRole role = KeyRole::kDevice);

/// A slab with its pool.
struct Slab {
  Slab(std::size_t slots, std::size_t slot_bytes);
  std::vector<std::byte> memory;
  SlotPool pool;
};

/// A spool that keeps what is committed and does as it is told.
class FakeSpool final : public Spool {
 public:
  Status commit(std::span<PendingRecord> records) override;
  Status read(RecordLocation, MutableBytes) const override;
  Status release_round(TaskId task, RoundNumber round) override;
  bool low_on_space() override { return low; }
  std::uint64_t live_bytes() const override { return 0; }

  std::vector<RecordHeader> committed() const;
  std::vector<std::size_t> groups() const;

  std::atomic<bool> low{false};
  std::atomic<bool> broken{false};      ///< commit() fails
  std::atomic<int> full_times{0};       ///< so many commits find the disk full
  std::atomic<int> release_empties{0};  ///< release_round() sets full_times to this

 private:
  mutable std::mutex mutex_;
  std::vector<RecordHeader> committed_;
  std::vector<std::size_t> groups_;
};

}  // namespace muster::ingest
