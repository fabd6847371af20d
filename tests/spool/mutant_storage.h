// A storage with a planted bug, to show that the simulation would notice one of ours.
#pragma once

#include <memory>

#include "base/storage.h"

namespace muster::ingest::test {

enum class Mutation : std::uint8_t {
  kNone,
  kDropSync,           ///< File::sync does nothing
  kDropDirectorySync,  ///< sync_directory does nothing
  kHideSyncError,      ///< a failed sync is reported as OK
  kHideWriteError,     ///< a failed write is reported as OK
  kLoseLastPiece,      ///< now and then a write leaves out its last piece
  kReadStale,          ///< now and then a read returns one bit wrong
};

/// `under` with the bug; both must outlive the result's files.
std::unique_ptr<Storage> mutate(Storage& under, Mutation mutation);

}  // namespace muster::ingest::test
