// A file of the simulated disk: what the page cache shows, what the platter has, and the sectors
// that differ. Part of base/simulated_storage.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "base/bytes.h"

namespace muster {

/// Not thread-safe. All chance comes from the generator passed in.
class SimulatedInode {
 public:
  using Random = std::mt19937_64;

  std::size_t size() const { return cache_.size(); }
  ConstBytes contents() const { return cache_; }

  void resize(std::size_t bytes);
  /// Grows the file where needed.
  void write(std::size_t offset, ConstBytes bytes);
  /// Writes any sectors of `bytes`, each by itself.
  void write_some(std::size_t offset, ConstBytes bytes, Random& random);
  void sync();
  /// A sync that fails: page by page the data is written, forgotten but still cached, or forgotten
  /// and evicted. Forgotten pages are clean to the next sync.
  void sync_badly(Random& random);
  /// Of what was not synced, each sector survives with probability eighths / 8.
  void power_cycle(std::uint64_t eighths, Random& random);
  /// In the cache and on the platter.
  void flip_bit(std::uint64_t bit);

 private:
  enum class Sector : std::uint8_t { kClean, kDirty, kDropped };

  void mark_dirty(std::size_t offset, std::size_t length);

  std::vector<std::byte> cache_;
  std::vector<std::byte> platter_;
  std::vector<Sector> sectors_;         ///< of cache_
  std::vector<std::uint32_t> touched_;  ///< all sectors that are not clean
};

}  // namespace muster
