// The names of things that travel: tasks, rounds, devices, updates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/hash.h"

namespace muster {

using TaskId = std::uint32_t;       ///< from 1; given by the control store
using RoundNumber = std::uint64_t;  ///< from 1 within a task
using ModelVersion =
    std::uint64_t;  ///< 0 is what the task began with; releases and imports count up

/// Keyed hash of the authenticated User-Id (and of the device behind a gateway).
using DeviceHash = Hash128;
/// Keyed hash of (task, round, device, nonce): names one update for good.
using UpdateId = Hash128;

using Sha256 = std::array<std::byte, 32>;

/// Where a privacy ledger ended at some time, and what its chain was there (docs/privacy.md).
struct LedgerHead {
  std::uint64_t bytes = 0;
  Sha256 chain{};
  bool operator==(const LedgerHead&) const = default;
};

}  // namespace muster
