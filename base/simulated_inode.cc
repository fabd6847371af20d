#include "base/simulated_inode.h"

#include <algorithm>
#include <map>

#include "base/check.h"

namespace muster {
namespace {

constexpr std::size_t kSectorBytes = 512;
constexpr std::size_t kPageBytes = 4096;

/// One sector from `source` to `target`, as far as both reach.
void copy_sector(std::uint32_t sector, ConstBytes source, MutableBytes target) {
  const std::size_t begin = sector * kSectorBytes;
  const std::size_t end = std::min({begin + kSectorBytes, source.size(), target.size()});
  if (begin < end) std::copy(source.data() + begin, source.data() + end, target.data() + begin);
}

}  // namespace

void SimulatedInode::mark_dirty(std::size_t offset, std::size_t length) {
  if (length == 0) return;
  for (std::size_t s = offset / kSectorBytes; s <= (offset + length - 1) / kSectorBytes; ++s) {
    if (sectors_[s] == Sector::kClean) touched_.push_back(static_cast<std::uint32_t>(s));
    sectors_[s] = Sector::kDirty;
  }
}

void SimulatedInode::resize(std::size_t bytes) {
  const std::size_t before = cache_.size();
  cache_.resize(bytes);
  sectors_.resize(divide_up(bytes, kSectorBytes));
  if (bytes < before) {
    std::erase_if(touched_, [&](std::uint32_t sector) { return sector >= sectors_.size(); });
  } else if (before < platter_.size()) {
    // Cut earlier and grown again before a sync: zeros here, old bytes on the platter.
    mark_dirty(before, std::min(bytes, platter_.size()) - before);
  }
}

void SimulatedInode::write(std::size_t offset, ConstBytes bytes) {
  if (bytes.empty()) return;
  if (offset + bytes.size() > cache_.size()) resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), cache_.data() + offset);
  mark_dirty(offset, bytes.size());
}

void SimulatedInode::write_some(std::size_t offset, ConstBytes bytes, Random& random) {
  const std::uint64_t quarters = random() % 5;
  while (!bytes.empty()) {
    const std::size_t length = std::min(kSectorBytes - offset % kSectorBytes, bytes.size());
    if (random() % 4 < quarters) write(offset, bytes.first(length));
    bytes = bytes.subspan(length);
    offset += length;
  }
}

void SimulatedInode::sync() {
  platter_.resize(cache_.size());
  std::erase_if(touched_, [&](std::uint32_t sector) {
    if (sectors_[sector] == Sector::kDropped) return false;
    copy_sector(sector, cache_, platter_);
    sectors_[sector] = Sector::kClean;
    return true;
  });
}

void SimulatedInode::sync_badly(Random& random) {
  enum class Fate : std::uint8_t { kWritten, kEvicted, kCached };
  std::map<std::size_t, Fate> fates;  // by page
  if (random() % 2 == 0) platter_.resize(cache_.size());
  for (const std::uint32_t sector : touched_) {
    if (sectors_[sector] != Sector::kDirty) continue;
    sectors_[sector] = Sector::kDropped;
    const std::size_t begin = sector * kSectorBytes;
    const auto [fate, fresh] = fates.try_emplace(begin / kPageBytes);
    if (fresh) fate->second = static_cast<Fate>(random() % 3);
    if (fate->second == Fate::kWritten) {
      copy_sector(sector, cache_, platter_);
    } else if (fate->second == Fate::kEvicted) {
      const std::size_t end = std::min(begin + kSectorBytes, cache_.size());
      std::fill(cache_.data() + begin, cache_.data() + end, std::byte{0});
      copy_sector(sector, platter_, cache_);
    }
  }
}

void SimulatedInode::power_cycle(std::uint64_t eighths, Random& random) {
  const std::size_t size = random() % 2 == 0 ? cache_.size() : platter_.size();
  platter_.resize(size);
  for (const std::uint32_t sector : touched_)
    if (sectors_[sector] == Sector::kDirty && random() % 8 < eighths)
      copy_sector(sector, cache_, platter_);
  if (size != cache_.size())
    cache_ = platter_;
  else
    for (const std::uint32_t sector : touched_) copy_sector(sector, platter_, cache_);
  sectors_.assign(divide_up(size, kSectorBytes), Sector::kClean);
  touched_.clear();
}

void SimulatedInode::flip_bit(std::uint64_t bit) {
  const std::size_t at = bit / 8;
  MUSTER_CHECK_OP(at, <, cache_.size());
  const auto mask = static_cast<std::byte>(1u << (bit % 8));
  cache_[at] ^= mask;
  if (at < platter_.size()) platter_[at] ^= mask;
}

}  // namespace muster
