#include "ingest/round_keys.h"

#include <sodium.h>

#include <cstring>

#include "base/check.h"

namespace muster::ingest {

void RoundKeys::Free::operator()(std::byte* memory) const { sodium_free(memory); }

Status RoundKeys::put(TaskId task, RoundNumber round, RoundKey key) {
  static const bool ready = sodium_init() >= 0;
  MUSTER_CHECK(ready);
  std::unique_ptr<std::byte, Free> memory(static_cast<std::byte*>(sodium_malloc(kRoundKeyBytes)));
  // sodium_malloc locks, but does not say when it could not.
  if (memory == nullptr || sodium_mlock(memory.get(), kRoundKeyBytes) != 0)
    return {Code::kUnavailable, "secret_not_locked",
            "the system locks no memory for the keys of rounds: raise RLIMIT_MEMLOCK (ulimit -l)"};
  std::memcpy(memory.get(), key.data(), kRoundKeyBytes);
  const std::unique_lock lock(mutex_);
  keys_[{task, round}] = std::move(memory);
  return {};
}

void RoundKeys::forget(TaskId task, RoundNumber round) {
  const std::unique_lock lock(mutex_);
  keys_.erase({task, round});
}

bool RoundKeys::has(TaskId task, RoundNumber round) const {
  const std::shared_lock lock(mutex_);
  return keys_.contains({task, round});
}

}  // namespace muster::ingest
