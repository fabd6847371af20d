// What open() does before the first commit: find the segments, judge them, end the open tail.
#pragma once

#include <cstdint>
#include <vector>

#include "ingest/segment.h"
#include "ingest/spool.h"

namespace muster::ingest {

struct Recovered {
  std::vector<Segment> segments;  ///< all closed, ascending by generation
  std::uint64_t next_generation = 1;
};

/// The caller holds the lock of the directory, which exists. Everything the visitor saw is durable
/// when this returns OK. Interrupted anywhere, it may simply be run again.
Result<Recovered> recover(Storage& storage, const SpoolOptions& options,
                          const Spool::Visitor& visitor, RecoveryReport& report);

}  // namespace muster::ingest
