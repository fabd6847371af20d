// The keys under which the updates of rounds lie on disk. Their home is the control store, wrapped;
// here they are in use, in locked memory, until their round is shredded.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <utility>

#include "base/status.h"
#include "wire/ids.h"

namespace muster::ingest {

inline constexpr std::size_t kRoundKeyBytes = 32;
using RoundKey = std::span<const std::byte, kRoundKeyBytes>;

/// Thread-safe: the engine adds and forgets, the committer encrypts, anyone who reads decrypts.
class RoundKeys {
 public:
  /// A copy in locked memory; the caller wipes its own. "secret_not_locked" where the system gives
  /// none. A key that is there is replaced.
  Status put(TaskId task, RoundNumber round, RoundKey key);
  /// Wiped. Records of the round cannot be opened any more. Fine if there is none.
  void forget(TaskId task, RoundNumber round);
  bool has(TaskId task, RoundNumber round) const;

  /// Calls work(key), during which the key stays; false (and no call) where there is none.
  template <class Work>
  bool with(TaskId task, RoundNumber round, Work&& work) const {
    const std::shared_lock lock(mutex_);
    const auto found = keys_.find({task, round});
    if (found == keys_.end()) return false;
    work(RoundKey(found->second.get(), kRoundKeyBytes));
    return true;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  // Shared while a record is encrypted or decrypted, so that no key goes meanwhile; alone twice a
  // round.
  mutable std::shared_mutex mutex_;
  std::map<std::pair<TaskId, RoundNumber>, std::unique_ptr<std::byte, Free>> keys_;
};

}  // namespace muster::ingest
