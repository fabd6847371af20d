// What ingest hands up: a durable chunk in its slot, or the end of a round's arrivals.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "ingest/record.h"
#include "ingest/slots.h"
#include "ingest/spool.h"

namespace muster::ingest {

struct Arrival {
  enum class Kind : std::uint8_t {
    kChunk,         ///< a durable chunk; `slot` is the engine's until it gives it back
    kRoundDrained,  ///< after close_round(): every admitted chunk of the round has been handed up
  };
  Kind kind = Kind::kChunk;
  SlotIndex slot = kNoSlot;  ///< kNoSlot: only on disk (recovered)
  RecordHeader header;       ///< kRoundDrained: task and round only
  RecordLocation location;
  Nanoseconds received = 0;  ///< for the latency histogram
};

}  // namespace muster::ingest
