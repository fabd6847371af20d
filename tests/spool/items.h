// Records to put into a spool and to recognise again.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "ingest/spool.h"

namespace muster::ingest::test {

/// A slot with a record whose payload follows from its nonce.
struct Item {
  std::vector<std::byte> slot;
  RecordLocation location;

  RecordHeader header() const { return load<RecordHeader>(slot); }
};

inline Item make_item(std::uint64_t nonce, TaskId task, RoundNumber round,
                      std::uint32_t payload_bytes) {
  Item item;
  item.slot.resize(record_bytes(payload_bytes), std::byte{0xEE});
  const MutableBytes payload = MutableBytes(item.slot).subspan(kRecordHeaderBytes, payload_bytes);
  std::uint64_t state = nonce * 0x9E3779B97F4A7C15u + 1;
  for (std::byte& byte : payload) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(state >> 56);
  }
  RecordHeader header;
  header.payload_bytes = payload_bytes;
  header.task = task;
  header.round = round;
  header.nonce = nonce;
  header.update = {nonce, ~nonce};
  header.chunk_count = 1;
  header.payload_checksum = checksum(payload);
  store(item.slot, 0, header);
  return item;
}

inline Item seal(Item item) {
  RecordHeader header = item.header();
  header.version = kSealedRecord;
  store(item.slot, 0, header);
  return item;
}

/// A key that follows from a number.
inline void put_key(RoundKeys& keys, TaskId task, RoundNumber round, std::uint64_t number = 1) {
  std::array<std::byte, kRoundKeyBytes> key{};
  store(key, 0, std::array<std::uint64_t, 4>{number, round, task, 0x5eed});
  if (!keys.put(task, round, key).ok()) std::abort();
}

/// Commits all items as one group and notes their locations and completed headers.
inline Status commit(Spool& spool, std::span<Item> items) {
  std::vector<PendingRecord> records;
  for (Item& item : items) records.push_back({item.slot, {}});
  Status status = spool.commit(records);
  for (std::size_t i = 0; i < items.size(); ++i) items[i].location = records[i].location;
  return status;
}

}  // namespace muster::ingest::test
