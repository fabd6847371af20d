// The keys of a private task's noise, wrapped in the control store: drawn once a round, found again
// after a crash, destroyed when no later release needs them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "privacy/master.h"
#include "server/control_store.h"

namespace muster::server {

/// One thread (the engine).
class NoiseKeys {
 public:
  /// Both outlive it. `name`: of the task, for messages.
  NoiseKeys(ControlStore& control, const privacy::MasterKeys& masters, TaskId task,
            std::string name)
      : control_(control), masters_(masters), task_(task), name_(std::move(name)) {}

  /// The noise key of a sealed round: what was kept, or, where nothing was, the same again. On disk
  /// when it returns. `remembers`: with the key of the memory that its noise leaves.
  Result<privacy::Secret> draw(const RoundRow& round, bool remembers);
  /// Of a round that was drawn for. "noise_key_missing" where it is gone.
  Result<privacy::Secret> find(RoundNumber round, KeyPurpose purpose) const;
  /// Destroys the task's keys of this purpose but those of `keep`.
  Status drop(KeyPurpose purpose, std::span<const RoundNumber> keep);

 private:
  ControlStore& control_;
  const privacy::MasterKeys& masters_;
  TaskId task_;
  std::string name_;
};

}  // namespace muster::server
