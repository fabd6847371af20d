// One record read back from its segment: soundness, and decryption where it is sealed.
#pragma once

#include "base/storage.h"
#include "ingest/round_keys.h"
#include "ingest/spool.h"

namespace muster::ingest {

/// As Spool::read(), from the segment `file` with this `salt`. `keys` may be null.
Status read_record(File& file, std::uint64_t salt, RecordLocation location, const RoundKeys* keys,
                   MutableBytes target);

}  // namespace muster::ingest
