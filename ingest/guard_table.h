// What the guard knows of every descriptor of the process, by number. Only guard*.cc.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "ingest/guard.h"

namespace muster::ingest {

enum class Guarded : std::uint8_t { kNo, kListener, kConnection };

struct GuardEntry {
  std::atomic<Guard*> owner;  ///< set before, and cleared after, `kind` says that it is guarded
  std::atomic<Guarded> kind;
  std::atomic<bool> doomed;                 ///< to be cut at the next sweep
  std::atomic<std::uint64_t> received;      ///< bytes in all
  std::atomic<std::uint64_t> completed_at;  ///< `received` when a message was completed last
  std::atomic<std::uint64_t> user;          ///< first bytes of the User-Id; 0: not known yet
  std::uint64_t address;                    ///< hash; under the guard's lock, like all below
  std::uint64_t seen_completed;             ///< completed_at at the last sweep
  Nanoseconds completed_time;               ///< of the sweep that saw it change
  Nanoseconds began;                        ///< of the sweep that saw a message begin; 0: none has
};

/// Descriptors above are not guarded, so connections that get one are shed.
inline constexpr int kGuardedDescriptors = 65'536;
/// A table of the process, because descriptors are the process's. Zeros, so no constructor runs.
extern std::array<GuardEntry, kGuardedDescriptors> guard_table;

}  // namespace muster::ingest
