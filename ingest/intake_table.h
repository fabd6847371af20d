// The memory of one round: which updates are here, chunk by chunk. All of it is allocated when the
// round opens.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "ingest/record.h"
#include "ingest/round_spec.h"

namespace muster::ingest {

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
/// Zeroed by the system page by page as it is touched, so that opening a large round is quick.
template <class T>
using ZeroedArray = std::unique_ptr<T[], FreeDeleter>;

/// Numbers keys 0, 1, ... in the order they come. Open addressing; the keys are keyed hashes, so
/// their low bits are uniform and nobody outside can make them collide.
class HashIndex {
 public:
  explicit HashIndex(std::uint32_t capacity);
  static std::size_t bytes(std::uint32_t capacity);

  std::optional<std::uint32_t> find(const Hash128& key) const;
  /// `key` is not here yet, and the index is not full.
  std::uint32_t add(const Hash128& key);
  std::uint32_t size() const { return size_; }
  bool full() const { return size_ == capacity_; }

 private:
  std::size_t place(const Hash128& key) const;

  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  std::size_t mask_;
  ZeroedArray<Hash128> keys_;
  ZeroedArray<std::uint32_t> places_;  // number + 1; 0 is free
};

struct UpdateEntry {
  UpdateId id;
  std::uint64_t nonce;
  RoundNumber trained_in;  ///< the round as the device knows it; another one only in buffered tasks
  std::uint32_t weight;
  std::uint32_t admitted;  ///< chunks in a slot or on disk
  std::uint32_t durable;   ///< chunks on disk
};

enum class ChunkState : std::uint8_t { kAbsent = 0, kPending = 1, kDurable = 2 };

class RoundTable {
 public:
  explicit RoundTable(RoundSpec spec);
  static std::size_t bytes(std::uint32_t max_updates, std::uint32_t chunk_count);

  const RoundSpec& spec() const { return spec_; }
  /// Takes over a record that is on disk; false (and nothing changed) where it does not fit in.
  bool recover(const RecordHeader& record);

  std::optional<std::uint32_t> find(const DeviceHash& device) const {
    return devices_.find(device);
  }
  bool full() const { return devices_.full(); }
  /// A new update without chunks; its number.
  std::uint32_t add(const DeviceHash& device, const UpdateId& id, std::uint64_t nonce,
                    RoundNumber trained_in, std::uint32_t weight);
  const UpdateEntry& entry(std::uint32_t update) const { return entries_[update]; }
  bool complete(std::uint32_t update) const {
    return entries_[update].durable == spec_.chunk_count;
  }

  ChunkState state(std::uint32_t update, std::uint32_t chunk) const;
  /// Whether a chunk that is here has this checksum (as far as 62 bits tell).
  bool same(std::uint32_t update, std::uint32_t chunk, const Hash128& checksum) const;
  void admit(std::uint32_t update, std::uint32_t chunk, const Hash128& checksum);
  /// True if the update is complete with this chunk.
  bool set_durable(std::uint32_t update, std::uint32_t chunk);

  /// Whether the device has been, or now is, told to train in this round.
  bool assign(const DeviceHash& device);

  bool closed = false;        ///< no more admissions
  bool forgotten = false;     ///< goes with its last pending chunk
  std::uint32_t pending = 0;  ///< chunks between slot and disk

 private:
  std::uint64_t& word(std::uint32_t update, std::uint32_t chunk) const {
    return chunks_[std::size_t{update} * spec_.chunk_count + chunk];
  }

  RoundSpec spec_;
  HashIndex devices_;
  HashIndex assigned_;
  ZeroedArray<UpdateEntry> entries_;
  // A word a chunk: the low bits of its checksum, and its state in the two lowest.
  ZeroedArray<std::uint64_t> chunks_;
};

}  // namespace muster::ingest
