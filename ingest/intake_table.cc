#include "ingest/intake_table.h"

#include <bit>

#include "base/check.h"

namespace muster::ingest {
namespace {

constexpr std::uint64_t kStateMask = 3;

template <class T>
ZeroedArray<T> zeroed(std::size_t n) {
  static_assert(std::is_trivially_copyable_v<T>);
  ZeroedArray<T> array(static_cast<T*>(std::calloc(n == 0 ? 1 : n, sizeof(T))));
  MUSTER_CHECK(array != nullptr);  // the budget of the round was agreed on before
  return array;
}

// At most half full, so that a look-up meets one or two places.
std::size_t places_for(std::uint32_t capacity) {
  return std::bit_ceil(2 * std::size_t{capacity} + 2);
}

}  // namespace

HashIndex::HashIndex(std::uint32_t capacity)
    : capacity_(capacity),
      mask_(places_for(capacity) - 1),
      keys_(zeroed<Hash128>(capacity)),
      places_(zeroed<std::uint32_t>(mask_ + 1)) {}

std::size_t HashIndex::bytes(std::uint32_t capacity) {
  return capacity * sizeof(Hash128) + places_for(capacity) * sizeof(std::uint32_t);
}

std::size_t HashIndex::place(const Hash128& key) const {
  std::size_t at = key.low & mask_;
  while (places_[at] != 0 && keys_[places_[at] - 1] != key) at = (at + 1) & mask_;
  return at;
}

std::optional<std::uint32_t> HashIndex::find(const Hash128& key) const {
  const std::uint32_t found = places_[place(key)];
  if (found == 0) return std::nullopt;
  return found - 1;
}

std::uint32_t HashIndex::add(const Hash128& key) {
  MUSTER_CHECK_OP(size_, <, capacity_);
  const std::size_t at = place(key);
  MUSTER_CHECK(places_[at] == 0);
  keys_[size_] = key;
  places_[at] = ++size_;
  return size_ - 1;
}

RoundTable::RoundTable(RoundSpec spec)
    : spec_(std::move(spec)),
      devices_(spec_.max_updates),
      assigned_(spec_.max_assigned),
      entries_(zeroed<UpdateEntry>(spec_.max_updates)),
      chunks_(zeroed<std::uint64_t>(std::size_t{spec_.max_updates} * spec_.chunk_count)) {}

std::size_t RoundTable::bytes(std::uint32_t max_updates, std::uint32_t chunk_count) {
  return 2 * HashIndex::bytes(max_updates) +
         max_updates * (sizeof(UpdateEntry) + std::size_t{chunk_count} * sizeof(std::uint64_t));
}

bool RoundTable::recover(const RecordHeader& record) {
  if (record.chunk >= spec_.chunk_count) return false;
  auto update = find(record.device);
  if (!update) {
    if (full()) return false;
    // Where it was trained is not needed again: its receipt has left, or is asked for anew.
    update = add(record.device, record.update, record.nonce, record.round, record.weight);
  }
  if (entries_[*update].id != record.update) return false;
  if (state(*update, record.chunk) != ChunkState::kAbsent) return false;
  admit(*update, record.chunk, record.payload_checksum);
  set_durable(*update, record.chunk);
  return true;
}

std::uint32_t RoundTable::add(const DeviceHash& device, const UpdateId& id, std::uint64_t nonce,
                              RoundNumber trained_in, std::uint32_t weight) {
  const std::uint32_t update = devices_.add(device);
  entries_[update] = {id, nonce, trained_in, weight, 0, 0};
  return update;
}

ChunkState RoundTable::state(std::uint32_t update, std::uint32_t chunk) const {
  return static_cast<ChunkState>(word(update, chunk) & kStateMask);
}

bool RoundTable::same(std::uint32_t update, std::uint32_t chunk, const Hash128& checksum) const {
  return ((word(update, chunk) ^ checksum.low) & ~kStateMask) == 0;
}

void RoundTable::admit(std::uint32_t update, std::uint32_t chunk, const Hash128& checksum) {
  MUSTER_CHECK(state(update, chunk) == ChunkState::kAbsent);
  word(update, chunk) =
      (checksum.low & ~kStateMask) | static_cast<std::uint64_t>(ChunkState::kPending);
  ++entries_[update].admitted;
  ++pending;
}

bool RoundTable::set_durable(std::uint32_t update, std::uint32_t chunk) {
  MUSTER_CHECK(state(update, chunk) == ChunkState::kPending);
  word(update, chunk) =
      (word(update, chunk) & ~kStateMask) | static_cast<std::uint64_t>(ChunkState::kDurable);
  MUSTER_CHECK_OP(pending, >, 0u);
  --pending;
  return ++entries_[update].durable == spec_.chunk_count;
}

bool RoundTable::assign(const DeviceHash& device) {
  if (assigned_.find(device)) return true;
  if (assigned_.full()) return false;
  assigned_.add(device);
  return true;
}

}  // namespace muster::ingest
